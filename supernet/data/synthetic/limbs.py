"""Arms, legs, hands and shoes; torso, neck and backpack, whose front looks different from the back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .body import Floats, Joint, cross
from .canvas import SUPERSAMPLE, Canvas, Colour, capsule, hull, shade, shade_all

if TYPE_CHECKING:
    from .figure import Figure


def upper_arm(canvas: Canvas, figure: Figure, shoulder: int, elbow: int) -> None:
    """From the shoulder to the elbow: sleeve or skin."""
    style, u = figure.style, figure.unit * figure.girth
    a, b = figure.joints[shoulder, :2], figure.joints[elbow, :2]
    if style.sleeve:
        canvas.tube(a, b, 0.038 * u, 0.03 * u, style.garment(style.sleeves, shoulder))
        return
    canvas.tube(a, b, 0.036 * u, 0.027 * u, style.skin)
    canvas.tube(a, a + 0.12 * (b - a), 0.04 * u, 0.04 * u, style.shirt)


def forearm(canvas: Canvas, figure: Figure, elbow: int, wrist: int) -> None:
    """From the elbow to the wrist."""
    style, u = figure.style, figure.unit * figure.girth
    a, b = figure.joints[elbow, :2], figure.joints[wrist, :2]
    long = style.sleeve == 2
    colour = shade(style.garment(style.sleeves, elbow), 1.12) if long else style.skin
    canvas.tube(a, b, 0.03 * u if long else 0.026 * u, 0.024 * u if long else 0.019 * u, colour)


def hand(canvas: Canvas, figure: Figure, elbow: int, wrist: int) -> None:
    """A mitten beyond the wrist, in line with the forearm."""
    a, b = figure.joints[elbow], figure.joints[wrist]
    length = max(float(np.linalg.norm(b - a)), 1e-6)
    tip = b[:2] + (b - a)[:2] / length * 0.045 * figure.unit
    canvas.tube(b[:2], tip, 0.02 * figure.unit, 0.022 * figure.unit, figure.style.skin)


def thigh(canvas: Canvas, figure: Figure, hip: int, knee: int) -> None:
    """From the hip to the knee; bare below a skirt."""
    style, u = figure.style, figure.unit * figure.girth
    colour = style.skin if style.leg == "skirt" else style.garment(style.legs, hip)
    canvas.tube(figure.joints[hip, :2], figure.joints[knee, :2], 0.056 * u, 0.042 * u, colour)


def shank(canvas: Canvas, figure: Figure, knee: int, ankle: int) -> None:
    """From the knee to the ankle; skin unless in trousers."""
    style, u = figure.style, figure.unit * figure.girth
    a, b = figure.joints[knee, :2], figure.joints[ankle, :2]
    if style.leg == "trousers":
        canvas.tube(a, b, 0.041 * u, 0.03 * u, shade(style.garment(style.legs, knee), 0.9))
        return
    canvas.tube(a, b, 0.037 * u, 0.023 * u, style.skin)
    if style.leg == "shorts":
        canvas.tube(a, a + 0.06 * (b - a), 0.044 * u, 0.044 * u, style.legs)


def shoe(canvas: Canvas, figure: Figure, knee: int, ankle: int) -> None:
    """A foot at a right angle to the shank that points where the body faces."""
    a, b = figure.joints[knee], figure.joints[ankle]
    down = (b - a) / max(float(np.linalg.norm(b - a)), 1e-6)
    toe = _toe_direction(figure.forward, down)
    heel = b[:2] + 0.022 * figure.unit * down[:2] - 0.02 * figure.unit * toe[:2]
    tip = b[:2] + 0.026 * figure.unit * down[:2] + 0.085 * figure.unit * toe[:2]
    colour = figure.style.garment(figure.style.shoes, ankle)
    canvas.tube(heel, tip, 0.026 * figure.unit, 0.02 * figure.unit, colour)


def stub(canvas: Canvas, figure: Figure, joint: int) -> None:
    """The bit of a limb around a joint whose neighbours are unknown (real annotations have such)."""
    style, u = figure.style, figure.unit
    sleeve = style.sleeves if style.sleeve else style.skin
    looks: dict[int, tuple[Colour, float]] = {
        Joint.L_SHOULDER: (sleeve, 0.04),
        Joint.L_ELBOW: (sleeve, 0.032),
        Joint.L_WRIST: (style.skin, 0.026),
        Joint.L_HIP: (style.legs, 0.056),
        Joint.L_KNEE: (style.legs, 0.042),
        Joint.L_ANKLE: (style.shoes, 0.032),
        Joint.HEAD: (style.hair, 0.06),
        Joint.NECK: (style.skin, 0.036),
    }
    colour, radius = looks[joint] if joint in looks else looks[joint - 1]
    point = figure.joints[joint, :2]
    dressed = joint < Joint.HEAD and colour != style.skin
    canvas.tube(point, point, radius * u, radius * u, style.garment(colour, joint) if dressed else colour)


def _toe_direction(forward: Floats, down: Floats) -> Floats:
    level = forward - down * float(forward @ down)
    norm = float(np.linalg.norm(level))
    return level / norm if norm > 0.2 else forward


def skirt(canvas: Canvas, figure: Figure) -> None:
    """A cloth from the hips to above the knees."""
    u = figure.unit * figure.girth
    hips, knees = (
        figure.joints[[Joint.L_HIP, Joint.L_HIP + 1], :2],
        figure.joints[[Joint.L_KNEE, Joint.L_KNEE + 1], :2],
    )
    hem = hips + 0.8 * (knees - hips)
    ring = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.4], [0.0, -0.6]])
    points = [
        c + ring * r * u for c, r in ((hips[0], 0.062), (hips[1], 0.062), (hem[0], 0.075), (hem[1], 0.075))
    ]
    outline = hull(np.concatenate(points))
    canvas.fill(outline, shade(figure.style.legs, 0.45))
    centre = outline.mean(0)
    canvas.fill(centre + (outline - centre) * 0.94, figure.style.legs, own=False)
    for share in (0.25, 0.5, 0.75):
        fold = np.stack([hips[0] + share * (hips[1] - hips[0]), hem[0] + share * (hem[1] - hem[0])])
        canvas.line(fold, shade(figure.style.legs, 0.75), 0.008 * figure.unit)


_DEPTH = 0.078  # half the chest's depth in stature units
# Panel on the chest: half angle, where it starts and ends from neck (0) to hips (1).
_PANELS = {
    "open": (28.0, 0.02, 1.0),
    "print": (34.0, 0.22, 0.6),
    "tie": (9.0, 0.02, 0.8),
    "bib": (40.0, 0.3, 1.0),
}


def _axis(figure: Figure) -> tuple[Floats, Floats]:
    """(3,) top and bottom of the torso's axis from whichever joints are known."""
    hips = [j for j in (Joint.L_HIP, Joint.R_HIP) if figure.known[j]]
    high = [j for j in (Joint.L_SHOULDER, Joint.R_SHOULDER) if figure.known[j]] or [
        j for j in (Joint.NECK,) if figure.known[j]
    ]
    if hips and high:
        return figure.joints[high].mean(0), figure.joints[hips].mean(0)
    # In real photographs either end may be unknown: continue in line with the head, or upright.
    if not high:
        bottom = figure.joints[hips].mean(0)
        return bottom + 0.28 * figure.unit * figure.head_up, bottom
    top = figure.joints[high].mean(0)
    up = top - figure.joints[Joint.HEAD] if figure.known[Joint.HEAD] else np.array([0.0, 1.0, 0.0])
    up = up / max(float(np.linalg.norm(up[:2])), 1e-6)
    return top, top + 0.26 * figure.unit * up


def torso_outline(figure: Figure) -> Floats:
    """(N, 2) convex outline of the trunk."""
    u = figure.unit * figure.girth
    top, bottom = _axis(figure)
    discs = [(top + 0.3 * (bottom - top), 0.082), (top + 0.7 * (bottom - top), 0.076), (bottom, 0.066)]
    discs += [(figure.joints[j], 0.038) for j in (Joint.L_SHOULDER, Joint.R_SHOULDER) if figure.known[j]]
    discs += [(figure.joints[j], 0.047) for j in (Joint.L_HIP, Joint.R_HIP) if figure.known[j]]
    if figure.known[Joint.NECK]:
        discs.append((figure.joints[Joint.NECK] + 0.35 * (top - figure.joints[Joint.NECK]), 0.03))
    return hull(np.concatenate([capsule(c[:2], c[:2], r * u, r * u) for c, r in discs]))


def draw_torso(canvas: Canvas, figure: Figure) -> None:
    """The shirt: rim, shading across the body, pattern, then the chest's panel if it faces the viewer."""
    outline = torso_outline(figure)
    style = figure.style
    centre = outline.mean(0)
    away = outline - centre
    length = np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    canvas.fill(outline + away / length * 0.45, shade(style.shirt, 0.42))
    region = canvas.region(outline)
    if region is None:
        return
    top, bottom = _axis(figure)
    along, across = _coordinates(region.mask.shape, (region.x0, region.y0), top[:2], bottom[:2])
    half = max(float(np.abs(away @ _normal(top[:2], bottom[:2])).max()), 1.0)
    light = np.clip(1.06 - 0.36 * np.square(across / half + 0.3), 0.5, 1.15)
    which = np.zeros(region.mask.shape, np.uint8)
    if style.pattern == "stripes":
        which[(np.floor(along * 9) % 2) == 1] = 1
    elif style.pattern == "blocks":
        which[along > 0.5] = 1
    canvas.paste(region, shade_all((style.shirt, shade(style.accent, 0.85)), which, light))
    _draw_front(canvas, figure, top, bottom)


def _normal(top: Floats, bottom: Floats) -> Floats:
    axis = bottom - top
    axis = axis / max(float(np.linalg.norm(axis)), 1e-6)
    return np.array([-axis[1], axis[0]])


def _coordinates(
    shape: tuple[int, ...], origin: tuple[int, int], top: Floats, bottom: Floats
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Per pixel, float32: share of the way down the axis, and signed distance across it (final pixels)."""
    x = (np.arange(shape[1], dtype=np.float32) + origin[0] + 0.5)[None] / SUPERSAMPLE - float(top[0])
    y = (np.arange(shape[0], dtype=np.float32) + origin[1] + 0.5)[:, None] / SUPERSAMPLE - float(top[1])
    axis = bottom - top
    squared = max(float(axis @ axis), 1.0)
    normal = _normal(top, bottom)
    # Python floats keep the arrays float32.
    along = (x * float(axis[0]) + y * float(axis[1])) / squared
    across = x * float(normal[0]) + y * float(normal[1])
    return along, across


def _draw_front(canvas: Canvas, figure: Figure, top: Floats, bottom: Floats) -> None:
    style = figure.style
    if figure.known[Joint.NECK]:
        collar = _chest_strip(figure, top, bottom, 30.0, -0.12, 0.05)
        if collar is not None:
            canvas.fill(collar, shade(style.skin, 0.9), own=False)
    if style.panel in _PANELS:
        half, start, end = _PANELS[style.panel]
        strip = _chest_strip(figure, top, bottom, half, start, end)
        if strip is not None:
            canvas.fill(strip, shade(style.accent, 0.9), own=False)
            if style.panel in ("open", "bib"):
                canvas.line(np.concatenate([strip, strip[:1]]), shade(style.shirt, 0.5), 0.008 * figure.unit)
    if style.backpack:
        for angle in (-48.0, 48.0):
            strap = _chest_strip(figure, top, bottom, 7.0, -0.02, 0.55, centre=angle)
            if strap is not None:
                canvas.fill(strap, shade(_pack_colour(figure), 0.8), own=False)


def _chest_strip(
    figure: Figure, top: Floats, bottom: Floats, half: float, start: float, end: float, centre: float = 0.0
) -> Floats | None:
    """(N, 2) outline of the part of the chest within `half` degrees of `centre` that faces the viewer."""
    axis = bottom - top
    lateral = cross(figure.forward, axis / max(float(np.linalg.norm(axis)), 1e-6))
    lateral = lateral / max(float(np.linalg.norm(lateral)), 1e-6)
    angles = np.radians(np.linspace(centre - half, centre + half, 9))[:, None]
    normals = np.sin(angles) * lateral + np.cos(angles) * figure.forward
    angles = angles[normals[:, 2] > 0.02]
    if len(angles) < 2:
        return None
    wide = 0.115 * figure.unit * figure.girth
    deep = _DEPTH * figure.unit * figure.girth
    ring = (wide * np.sin(angles) * lateral + deep * np.cos(angles) * figure.forward)[:, :2]
    upper, lower = top + start * axis, top + end * axis
    return np.concatenate([upper[:2] + ring, lower[:2] + ring[::-1]])


def draw_neck(canvas: Canvas, figure: Figure) -> None:
    """A short skin tube from the collar to the skull."""
    base = figure.joints[Joint.NECK, :2]
    skull = base + 0.3 * (figure.joints[Joint.HEAD, :2] - base)
    top, _ = _axis(figure)
    low = base + 0.5 * (top[:2] - base)
    radius = 0.034 * figure.unit * figure.girth
    canvas.tube(low, skull, radius, radius, shade(figure.style.skin, 0.88))


def _pack_colour(figure: Figure) -> Colour:
    return shade(figure.style.accent, 0.7)


def draw_backpack(canvas: Canvas, figure: Figure) -> None:
    """A bag on the back; it hides nothing when the chest faces the viewer, because it is drawn first."""
    top, bottom = _axis(figure)
    axis = bottom - top
    offset = -0.13 * figure.unit * figure.forward
    u = figure.unit * figure.girth
    high, low = top + 0.16 * axis + offset, top + 0.72 * axis + offset
    colour = _pack_colour(figure)
    canvas.tube(high[:2], low[:2], 0.075 * u, 0.085 * u, colour)
    pocket = top + 0.6 * axis + offset
    if figure.forward[2] < 0.3:
        rim = cv2.convexHull(capsule(pocket[:2], pocket[:2], 0.05 * u, 0.05 * u).astype(np.float32))[:, 0]
        canvas.fill(np.asarray(rim, float), shade(colour, 1.3), own=False)
