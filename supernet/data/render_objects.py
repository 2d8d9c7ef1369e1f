"""Things beside people: ground shadows, seats under those who sit, objects in front of everybody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .render_body import L_ANKLE
from .render_body import L_HIP
from .render_body import R_ANKLE
from .render_body import R_HIP
from .render_canvas import THING
from .render_canvas import Canvas
from .render_canvas import hull
from .render_figure import Figure
from .render_style import Colour
from .render_style import random_colour
from .render_style import shade


def draw_shadow(image: NDArray[np.uint8], figure: Figure) -> None:
    """A soft dark patch on the ground below a person, on a background (H, W, 3) of final size."""
    if not figure.known[[L_ANKLE, R_ANKLE]].any():
        return
    x0, _, x1, y1 = figure.extent()
    half = 0.5 * min(x1 - x0, 0.5 * figure.unit) + 0.04 * figure.unit
    cx, cy = (x0 + x1) / 2, y1 - 0.02 * figure.unit
    rx, ry = half, 0.035 * figure.unit
    left, right = int(max(cx - rx, 0)), int(min(cx + rx, image.shape[1]))
    top, bottom = int(max(cy - ry, 0)), int(min(cy + ry, image.shape[0]))
    if right <= left or bottom <= top:
        return
    x = (np.arange(left, right, dtype=np.float32)[None] + 0.5 - cx) / rx
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] + 0.5 - cy) / ry
    dark = 1 - 0.55 * np.clip(1.3 * (1 - x * x - y * y), 0, 1)
    window = image[top:bottom, left:right]
    window[:] = (window * dark[..., None]).astype(np.uint8)


def draw_seat(rng: np.random.Generator, canvas: Canvas, figure: Figure) -> None:
    """A stool or a box from the hips down to the ground; drawn before the person."""
    canvas.tag = THING
    u = figure.unit
    hips = figure.joints[[L_HIP, R_HIP], :2].mean(0)
    ground = figure.extent()[3] - 0.02 * u
    colour = random_colour(rng, (0.1, 0.7), (0.2, 0.8))
    top = hips[1] + 0.055 * u
    if ground - top < 0.05 * u:
        return
    half = 0.14 * u
    if rng.random() < 0.5:
        _box(canvas, hips[0] - half, top, 2 * half, ground - top, colour)
        return
    for x in (hips[0] - 0.85 * half, hips[0] + 0.85 * half):
        foot = np.array([x, ground])
        canvas.line(np.stack([np.array([x, top]), foot]), shade(colour, 0.6), 0.022 * u, own=True)
    _box(canvas, hips[0] - half, top, 2 * half, 0.05 * u, colour)
    if rng.random() < 0.5:  # a chair's back
        _box(canvas, hips[0] - half, top - 0.3 * u, 2 * half, 0.12 * u, shade(colour, 0.85))


def _box(canvas: Canvas, x: float, y: float, w: float, h: float, colour: Colour) -> None:
    corners = np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    canvas.fill(corners, shade(colour, 0.5))
    canvas.fill(corners + np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]), colour, own=False)
    lip = corners.copy()
    lip[2:, 1] = y + 0.2 * h
    canvas.fill(lip, shade(colour, 1.2), own=False)


def draw_occluder(rng: np.random.Generator, canvas: Canvas) -> None:
    """A table, a post, a bush or a ball that hides parts of whoever is behind it."""
    canvas.tag = THING
    width, height = canvas.size
    colour = random_colour(rng)
    kind = int(rng.integers(4))
    x = rng.uniform(0.0, 1.0) * width
    if kind == 0:
        w, h = rng.uniform(0.18, 0.42) * width, rng.uniform(0.12, 0.26) * height
        _box(canvas, x - w / 2, height - h, w, h * 1.2, colour)
    elif kind == 1:
        w = rng.uniform(0.02, 0.05) * width
        _box(canvas, x - w / 2, rng.uniform(-0.1, 0.4) * height, w, height * 1.1, colour)
    elif kind == 2:
        green = (int(rng.uniform(20, 80)), int(rng.uniform(80, 150)), int(rng.uniform(30, 110)))
        size = rng.uniform(0.1, 0.2) * height
        for _ in range(9):
            centre = np.array([x + rng.normal(0, 0.8) * size, height - abs(rng.normal(0.3, 0.5)) * size])
            blob = rng.uniform(0.25, 0.5) * size
            angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
            leaf = centre + blob * np.stack([np.cos(angles), np.sin(angles)], 1)
            canvas.fill(hull(leaf), shade(green, rng.uniform(0.7, 1.2)))
    else:
        r = rng.uniform(0.04, 0.09) * height
        centre = np.array([x, rng.uniform(0.5, 0.98) * height])
        canvas.tube(centre, centre + 0.1, r, r, colour)
