"""Heads: a shaded ball whose face, hair and cap follow its true direction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .body import HEAD, NECK, Floats, cross
from .canvas import SUPERSAMPLE, Canvas, Region, capsule, shade, shade_all

if TYPE_CHECKING:
    from .figure import Figure

_LIGHT = np.array([-0.42, -0.52, 0.74])
_DARK = (30, 25, 35)


def _skull(figure: Figure) -> tuple[Floats, float, float]:
    """Centre (2,), half width and half height (pixels, along the head's own upright)."""
    neck, head = figure.joints[NECK, :2], figure.joints[HEAD, :2]
    length = max(float(np.linalg.norm(head - neck)), 0.1 * figure.unit)
    height = 0.5 * min(length, 0.2 * figure.unit)
    return neck + 0.56 * (head - neck), 0.8 * height, height


def _frame(figure: Figure) -> tuple[Floats, Floats, Floats]:
    """Orthonormal right-handed-enough frame of the head: face, up, left ear."""
    face = figure.face / np.linalg.norm(figure.face)
    up = figure.head_up - face * float(figure.head_up @ face)
    norm = float(np.linalg.norm(up))
    up = up / norm if norm > 1e-3 else np.array([0.0, -1.0, 0.0])
    return face, up, cross(up, face)


def draw_head(canvas: Canvas, figure: Figure) -> None:
    """Hair ball with a face cap, shaded; eyes, mouth, nose and cap when they turn to the viewer."""
    centre, rx, ry = _skull(figure)
    face, up, ear = _frame(figure)
    # Rim first: a disc-shaped outline keeps the head apart from what is behind it.
    tilt = np.array([-up[1], up[0]]) if abs(up[1]) > 1e-3 else np.array([1.0, 0.0])
    tilt = tilt / max(float(np.linalg.norm(tilt)), 1e-6)
    axis = np.array([tilt[1], -tilt[0]])  # on screen, from chin to crown
    angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1)

    def outline(grow: float) -> Floats:
        points: Floats = centre + circle[:, :1] * (rx + grow) * tilt + circle[:, 1:] * (ry + grow) * axis
        return points

    if abs(face[2]) < 0.9:
        nose = centre + _flat(1.06 * face - 0.12 * up, rx, ry, tilt, axis)
        canvas.disc(nose, 0.16 * rx, shade(figure.style.skin, 0.85))
    canvas.fill(outline(0.45), shade(figure.style.hair, 0.45))
    region = canvas.region(outline(0.0))
    if region is not None:
        _paint_ball(canvas, figure, region, centre, (rx, ry), (tilt, axis), (face, up))
    if face[2] > -0.6:
        _draw_features(canvas, figure, centre, (rx, ry), (tilt, axis), (face, up, ear))
    if figure.style.hat:
        _draw_brim(canvas, figure, centre, (rx, ry), (tilt, axis), (face, up, ear))


def _flat(point: Floats, rx: float, ry: float, tilt: Floats, axis: Floats) -> Floats:
    """Offset on screen of a point on the unit head (3-D directions to an ellipse along tilt/axis)."""
    flat: Floats = rx * float(point[:2] @ tilt) * tilt + ry * float(point[:2] @ axis) * axis
    return flat


def _paint_ball(
    canvas: Canvas,
    figure: Figure,
    region: Region,
    centre: Floats,
    radii: tuple[float, float],
    screen: tuple[Floats, Floats],
    frame: tuple[Floats, Floats],
) -> None:
    h, w = region.mask.shape
    (tx, ty), (ax, ay) = (tuple(float(v) for v in side) for side in screen)
    dx = (np.arange(w, dtype=np.float32) + region.x0 + 0.5)[None] / SUPERSAMPLE - float(centre[0])
    dy = (np.arange(h, dtype=np.float32) + region.y0 + 0.5)[:, None] / SUPERSAMPLE - float(centre[1])
    u = (dx * tx + dy * ty) / radii[0]
    v = (dx * ax + dy * ay) / radii[1]
    x, y = u * tx + v * ax, u * ty + v * ay
    ball = (x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0)))

    def along(direction: Floats) -> NDArray[np.float32]:
        total = sum(p * float(d) for p, d in zip(ball, direction, strict=True))
        return np.asarray(total, np.float32)

    face, up = frame
    height = along(up)
    style = figure.style
    which = np.zeros((h, w), np.uint8)
    # Skin: the front cap below the hairline, and the nape.
    which[(along(face) > 0.12) & (height < 0.52) | (height < -0.72)] = 1
    if style.hat:
        which[height > 0.34] = 2
    light = 0.62 + 0.5 * np.maximum(along(_LIGHT), 0)
    canvas.paste(region, shade_all((style.hair, style.skin, style.accent), which, light))


def _draw_features(
    canvas: Canvas,
    figure: Figure,
    centre: Floats,
    radii: tuple[float, float],
    screen: tuple[Floats, Floats],
    frame: tuple[Floats, Floats, Floats],
) -> None:
    rx, ry = radii
    face, up, ear = frame

    def place(right: float, high: float) -> tuple[Floats, float]:
        point = face * np.sqrt(max(1 - right * right - high * high, 0.0)) + right * ear + high * up
        return centre + _flat(point, rx, ry, *screen), float(point[2])

    for side in (-1.0, 1.0):
        eye, depth = place(0.4 * side, 0.1)
        if depth > 0.12:
            canvas.disc(eye, 0.17 * rx, (235, 235, 235), own=False)
            canvas.disc(eye, 0.12 * rx, _DARK, own=False)
            brow = np.stack(
                [place(right * side, high)[0] for right, high in ((0.58, 0.26), (0.42, 0.36), (0.22, 0.36))]
            )
            canvas.line(brow, shade(figure.style.hair, 0.7), 0.08 * rx)
    mouth = [place(right, high) for right, high in ((-0.28, -0.42), (0.0, -0.5), (0.28, -0.42))]
    if min(depth for _, depth in mouth) > 0.0:
        canvas.line(np.stack([p for p, _ in mouth]), (50, 45, 120), 0.11 * rx)
    nose, depth = place(0.0, -0.14)
    if depth > 0.3:
        canvas.disc(nose, 0.1 * rx, shade(figure.style.skin, 0.78), own=False)


def _draw_brim(
    canvas: Canvas,
    figure: Figure,
    centre: Floats,
    radii: tuple[float, float],
    screen: tuple[Floats, Floats],
    frame: tuple[Floats, Floats, Floats],
) -> None:
    """The peak of a cap points where the face looks; seen from behind there is none."""
    face, up, ear = frame
    if face[2] < -0.1:
        return
    corners = (
        0.7 * face + 0.6 * ear,
        1.4 * face + 0.35 * ear,
        1.4 * face - 0.35 * ear,
        0.7 * face - 0.6 * ear,
    )
    points = np.stack([centre + _flat(c + 0.36 * up, *radii, *screen) for c in corners])
    canvas.fill(points, shade(figure.style.accent, 0.7))


def draw_hair_back(canvas: Canvas, figure: Figure) -> None:
    """Long hair down to the shoulders, behind the face."""
    centre, rx, ry = _skull(figure)
    face, up, _ = _frame(figure)
    back = centre - 0.3 * rx * face[:2]
    # It hangs, so it falls down the screen unless the head is upside down.
    fall = np.array([0.0, 1.0]) if up[1] < 0.5 else np.array([0.0, -1.0])
    canvas.tube(back, back + 1.25 * ry * fall - 0.25 * rx * face[:2], 0.98 * rx, 0.8 * rx, figure.style.hair)
    canvas.fill(capsule(centre, centre, 0.5 * rx, 0.5 * rx), figure.style.hair, own=False)
