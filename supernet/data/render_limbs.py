"""Arms, legs, hands, shoes and skirts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .render_body import HEAD
from .render_body import L_ANKLE
from .render_body import L_ELBOW
from .render_body import L_HIP
from .render_body import L_KNEE
from .render_body import L_SHOULDER
from .render_body import L_WRIST
from .render_body import NECK
from .render_body import Floats
from .render_canvas import Canvas
from .render_canvas import hull
from .render_style import shade

if TYPE_CHECKING:
    from .render_figure import Figure


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
    looks = {
        L_SHOULDER: (sleeve, 0.04),
        L_ELBOW: (sleeve, 0.032),
        L_WRIST: (style.skin, 0.026),
        L_HIP: (style.legs, 0.056),
        L_KNEE: (style.legs, 0.042),
        L_ANKLE: (style.shoes, 0.032),
        HEAD: (style.hair, 0.06),
        NECK: (style.skin, 0.036),
    }
    colour, radius = looks[joint] if joint in looks else looks[joint - 1]
    point = figure.joints[joint, :2]
    dressed = joint < HEAD and colour != style.skin
    canvas.tube(point, point, radius * u, radius * u, style.garment(colour, joint) if dressed else colour)


def _toe_direction(forward: Floats, down: Floats) -> Floats:
    level = forward - down * float(forward @ down)
    norm = float(np.linalg.norm(level))
    return level / norm if norm > 0.2 else forward


def skirt(canvas: Canvas, figure: Figure) -> None:
    """A cloth from the hips to above the knees."""
    u = figure.unit * figure.girth
    hips, knees = figure.joints[[L_HIP, L_HIP + 1], :2], figure.joints[[L_KNEE, L_KNEE + 1], :2]
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
