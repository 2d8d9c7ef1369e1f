"""What is around people: backgrounds with clutter, shadows, seats, objects in front."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .body import Joint
from .canvas import THING, Canvas, Colour, hull, random_colour, shade
from .figure import Figure

Picture = NDArray[np.uint8]


def _noise(rng: np.random.Generator, width: int, height: int, cells: int) -> NDArray[np.float32]:
    """(H, W) smooth noise in about [-1, 1], `cells` bumps along the width."""
    rows = max(2, round(cells * height / width))
    coarse = rng.uniform(-1, 1, (rows, max(2, cells))).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def add_grey(image: Picture, change: NDArray[np.float32]) -> Picture:
    """The picture (H, W, 3) with `change` (H, W) grey levels added to all channels, kept within 0..255."""
    steps = np.rint(change).astype(np.int16)
    return np.asarray(cv2.add(image, cv2.merge([steps, steps, steps]), dtype=cv2.CV_8U), np.uint8)


def _gradient(top: Colour, bottom: Colour, width: int, height: int) -> Picture:
    share = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    rows = (1 - share) * np.array(top, np.float32) + share * np.array(bottom, np.float32)
    image = np.empty((height, width, 3), np.uint8)
    image[:] = rows.astype(np.uint8)
    return image


def _sky(rng: np.random.Generator, width: int, height: int) -> Picture:
    """Blue, overcast or evening sky, paler towards the ground."""
    skies = (
        ((235, 190, 130), (250, 230, 205)),
        ((205, 200, 195), (235, 232, 228)),
        ((170, 130, 120), (150, 195, 245)),
    )
    top, bottom = skies[int(rng.choice(len(skies), p=[0.55, 0.3, 0.15]))]
    light = rng.uniform(0.75, 1.05)
    return _gradient(shade(top, light), shade(bottom, light), width, height)


def _rect(
    image: Picture, x: float, y: float, w: float, h: float, colour: Colour, thickness: int = -1
) -> None:
    cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), colour, thickness)


def _room(rng: np.random.Generator, width: int, height: int, horizon: float) -> Picture:
    wall = random_colour(rng, (0.03, 0.32), (0.5, 0.95))
    image = _gradient(wall, shade(wall, rng.uniform(0.75, 0.95)), width, height)
    floor_y = int(horizon * height)
    floor = random_colour(rng, (0.1, 0.5), (0.25, 0.75))
    image[floor_y:] = _gradient(shade(floor, 0.8), shade(floor, 1.1), width, max(1, height - floor_y))
    if rng.random() < 0.6:  # planks run to the vanishing point
        middle = int(rng.uniform(0.2, 0.8) * width)
        for x in np.linspace(-width, 2 * width, int(rng.integers(9, 22))):
            start = (int(middle + (x - middle) * 0.35), floor_y)
            cv2.line(image, start, (int(x), height), shade(floor, 0.7), 1)
    _rect(image, 0, floor_y - 2, width, 2, shade(wall, 0.6))
    for _ in range(int(rng.integers(0, 4))):  # windows, pictures and doors
        w, h = rng.uniform(0.1, 0.28) * width, rng.uniform(0.15, 0.4) * height
        x, y = rng.uniform(0, width - w), rng.uniform(0.02, 0.25) * height
        inner = random_colour(rng, (0.1, 0.6), (0.3, 0.95))
        _rect(image, x - 2, y - 2, w + 4, h + 4, shade(wall, 0.55))
        _rect(image, x, y, w, h, inner)
        if rng.random() < 0.5:
            _rect(image, x + w / 2 - 1, y, 2, h, shade(wall, 0.55))
            _rect(image, x, y + h / 2 - 1, w, 2, shade(wall, 0.55))
    return image


def _street(rng: np.random.Generator, width: int, height: int, horizon: float) -> Picture:
    image = _sky(rng, width, height)
    ground_y = int(horizon * height)
    x = rng.uniform(-0.1, 0.0) * width
    while x < width:
        w = rng.uniform(0.15, 0.35) * width
        h = rng.uniform(0.4, 1.05) * ground_y
        wall = random_colour(rng, (0.03, 0.35), (0.3, 0.85))
        _rect(image, x, ground_y - h, w, h, wall)
        glass = shade(wall, rng.choice([0.5, 1.4]))
        rows, columns = int(rng.integers(2, 7)), int(rng.integers(2, 5))
        for i in range(rows):
            for j in range(columns):
                wx, wy = x + w * (j + 0.25) / columns, ground_y - h + h * (i + 0.25) / rows
                _rect(image, wx, wy, 0.5 * w / columns, 0.5 * h / rows, glass)
        x += w * rng.uniform(1.0, 1.15)
    grey = int(rng.uniform(70, 170))
    road = (grey, grey, int(min(255, grey * rng.uniform(0.95, 1.05))))
    image[ground_y:] = _gradient(shade(road, 0.85), shade(road, 1.1), width, max(1, height - ground_y))
    for _ in range(int(rng.integers(0, 3))):
        y = int(rng.uniform(ground_y, height))
        cv2.line(image, (0, y), (width, int(y + rng.normal(0, 0.05) * height)), shade(road, 1.3), 2)
    return image


def _field(rng: np.random.Generator, width: int, height: int, horizon: float) -> Picture:
    image = _sky(rng, width, height)
    ground_y = int(horizon * height)
    grass = (int(rng.uniform(30, 90)), int(rng.uniform(100, 180)), int(rng.uniform(60, 150)))
    xs = np.arange(0, width + 8, 8)
    hills = ground_y - np.abs(_noise(rng, len(xs), 2, 4)[0]) * rng.uniform(0.05, 0.3) * height
    outline = np.concatenate([np.stack([xs, hills], 1), [[width + 8, height], [0, height]]]).astype(np.int32)
    cv2.fillPoly(image, [outline], shade(grass, 0.7))
    image[ground_y:] = _gradient(shade(grass, 0.85), shade(grass, 1.15), width, max(1, height - ground_y))
    for _ in range(int(rng.integers(0, 5))):  # trees
        x, s = rng.uniform(0, width), rng.uniform(0.12, 0.35) * height
        _rect(image, x - 0.05 * s, ground_y - 0.9 * s, 0.1 * s, 0.95 * s, (40, 60, 85))
        leaf = shade(grass, rng.uniform(0.45, 0.8))
        for _ in range(4):
            centre = (int(x + rng.normal(0, 0.22) * s), int(ground_y - s + rng.normal(0, 0.2) * s))
            cv2.circle(image, centre, int(0.32 * s), leaf, -1)
            leaf = shade(leaf, rng.uniform(0.9, 1.15))
    return image


def _abstract(rng: np.random.Generator, width: int, height: int, horizon: float) -> Picture:
    top = random_colour(rng, (0.05, 0.6), (0.3, 0.95))
    image = _gradient(top, random_colour(rng, (0.05, 0.6), (0.2, 0.8)), width, height)
    for _ in range(int(rng.integers(4, 14))):
        colour = random_colour(rng, (0.05, 0.6), (0.2, 0.9))
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (int(rng.uniform(0.03, 0.3) * width), int(rng.uniform(0.03, 0.3) * height))
        cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1)
    return np.asarray(cv2.blur(image, (5, 5)), np.uint8)


def _tiles(rng: np.random.Generator, width: int, height: int, horizon: float) -> Picture:
    base = random_colour(rng, (0.03, 0.4), (0.3, 0.9))
    image = _gradient(base, shade(base, 0.85), width, height)
    w, h = int(rng.uniform(12, 45)), int(rng.uniform(9, 30))
    joint = shade(base, rng.choice([0.7, 1.3]))
    for row, y in enumerate(range(0, int(horizon * height), h)):
        cv2.line(image, (0, y), (width, y), joint, 1)
        for x in range(-(row % 2) * w // 2, width, w):
            cv2.line(image, (x, y), (x, y + h), joint, 1)
    floor_y = int(horizon * height)
    floor = random_colour(rng, (0.05, 0.4), (0.25, 0.7))
    image[floor_y:] = _gradient(shade(floor, 0.9), floor, width, max(1, height - floor_y))
    return image


BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, int, float], Picture]] = {
    "room": _room,
    "street": _street,
    "field": _field,
    "abstract": _abstract,
    "tiles": _tiles,
}


def _clutter(rng: np.random.Generator, image: Picture, amount: float) -> None:
    """Boxes, balls, posts and cables of clothes-like colours, so that colour alone finds nobody."""
    height, width = image.shape[:2]
    for _ in range(rng.poisson(7 * amount)):
        colour = random_colour(rng)
        x, y = rng.uniform(0, width), rng.uniform(0.1, 1.0) * height
        size = rng.uniform(0.03, 0.16) * height
        kind = rng.integers(4)
        if kind == 0:
            w, h = size * rng.uniform(0.5, 2), size
            _rect(image, x, y, w, h, colour)
            _rect(image, x, y, w, h, shade(colour, 0.6), 2)
        elif kind == 1:
            cv2.circle(image, (int(x), int(y)), int(size / 2), colour, -1)
            cv2.circle(image, (int(x - size / 8), int(y - size / 8)), int(size / 4), shade(colour, 1.2), -1)
        elif kind == 2:
            cv2.line(
                image,
                (int(x), int(y)),
                (int(x + rng.normal(0, 2)), int(y - 2 * size)),
                colour,
                int(1 + size / 10),
            )
        else:
            end = (int(x + rng.normal(0, 2) * size), int(y + rng.normal(0, 2) * size))
            cv2.line(image, (int(x), int(y)), end, colour, int(1 + size / 8))


def draw_background(
    rng: np.random.Generator, width: int, height: int, horizon: float, clutter: float
) -> Picture:
    """(H, W, 3) BGR background of a random kind; `horizon` is where the ground starts, as share of H."""
    kinds = list(BACKGROUNDS.values())
    image = kinds[int(rng.integers(len(kinds)))](rng, width, height, horizon)
    _clutter(rng, image, clutter)
    texture = rng.uniform(2, 7) * _noise(rng, width, height, 6)
    texture += rng.uniform(1, 8) * _noise(rng, width, height, int(rng.integers(14, 60)))
    return add_grey(image, texture)


def draw_shadow(image: NDArray[np.uint8], figure: Figure) -> None:
    """A soft dark patch on the ground below a person, on a background (H, W, 3) of final size."""
    if not figure.known[[Joint.L_ANKLE, Joint.R_ANKLE]].any():
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
    hips = figure.joints[[Joint.L_HIP, Joint.R_HIP], :2].mean(0)
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
