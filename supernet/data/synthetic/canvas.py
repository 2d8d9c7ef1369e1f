"""Drawing primitives on a picture and, beside it, on a map of who is seen where."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .body import Floats

Colour = tuple[int, int, int]  # B, G, R

_SKIN = ((150, 190, 240), (130, 170, 225), (105, 150, 210), (85, 125, 190), (60, 95, 155), (45, 70, 120))
_HAIR = (
    (25, 25, 28),
    (30, 40, 60),
    (40, 65, 105),
    (60, 110, 170),
    (90, 150, 205),
    (150, 150, 150),
    (35, 50, 130),
)

_DULL = ((0.1, 0.5), (0.15, 0.6))  # saturation and value of jeans and the like


@dataclass(frozen=True)
class Style:
    """One person's colours (BGR) and dress.

    Attributes:
        panel: what the chest shows and the back does not: "open" jacket, "print", "tie", "bib" or "none".
        sleeve: share of the arm that is covered: 0 none, 1 to the elbow, 2 to the wrist.
        leg: "trousers", "shorts" or "skirt".
        pattern: torso texture: "plain", "stripes" or "blocks".
        backpack: worn on the back, so its bag is seen from behind and its straps from the front.
        two_tone: sleeves, trouser legs and shoes are dark on the person's left and pale on the right.
    """

    skin: Colour
    hair: Colour
    shirt: Colour
    sleeves: Colour
    accent: Colour
    legs: Colour
    shoes: Colour
    panel: str
    sleeve: int
    leg: str
    pattern: str
    long_hair: bool
    hat: bool
    backpack: bool
    two_tone: bool = False

    def garment(self, colour: Colour, joint: int) -> Colour:
        """`colour` of the garment at `joint`: in a two-tone dress dark on the left, pale on the right."""
        if not self.two_tone:
            return colour
        return shade(colour, 0.4) if joint % 2 == 0 else mix(colour, 0.6)


def random_colour(
    rng: np.random.Generator,
    saturation: tuple[float, float] = (0.15, 0.9),
    value: tuple[float, float] = (0.2, 0.95),
) -> Colour:
    """A BGR colour of random hue within the given ranges."""
    hue, s, v = rng.random(), rng.uniform(*saturation), rng.uniform(*value)
    red, green, blue = colorsys.hsv_to_rgb(hue, s, v)
    return int(blue * 255), int(green * 255), int(red * 255)


@lru_cache(maxsize=4096)
def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (< 1) or lighter (> 1)."""
    b, g, r = (int(min(255, max(0, c * factor))) for c in colour)
    return b, g, r


def shade_all(
    colours: Sequence[Colour], which: NDArray[np.uint8], light: NDArray[np.floating[Any]]
) -> NDArray[np.uint8]:
    """(H, W, 3): colour number `which` (H, W) under `light` (H, W; cut to 0 to 1.25), in steps of 1/64."""
    levels = np.arange(81, dtype=np.float32)[:, None] / 64
    ramps = [np.minimum(np.array(colour, np.float32) * levels, 255) for colour in colours]
    table = np.concatenate(ramps).astype(np.uint8)
    return np.asarray(table[which * np.intp(81) + np.clip(light * 64, 0, 80).astype(np.intp)])


def mix(colour: Colour, white: float) -> Colour:
    """The colour mixed with a share of white."""
    b, g, r = (int(c + (255 - c) * white) for c in colour)
    return b, g, r


def two_tone(style: Style) -> Style:
    """The same looks in a two-tone dress, which covers all limbs."""
    return replace(style, two_tone=True, sleeve=2, leg="trousers")


def luminance(colour: Colour) -> float:
    """Perceived brightness, 0 to 255."""
    return 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]


def contrasting(rng: np.random.Generator, other: Colour, gap: float = 60.0) -> Colour:
    """A random colour whose brightness differs from `other` by at least `gap` (best of a few tries)."""
    tries = [random_colour(rng) for _ in range(6)]
    for colour in tries:
        if abs(luminance(colour) - luminance(other)) >= gap:
            return colour
    return max(tries, key=lambda c: abs(luminance(c) - luminance(other)))


def sample_style(rng: np.random.Generator) -> Style:
    """A random person's looks."""
    jitter = rng.uniform(0.92, 1.06)
    shirt = random_colour(rng)
    if rng.random() < 0.25:
        grey = int(rng.uniform(30, 245))
        shirt = (grey, grey, grey)
    panel = str(rng.choice(["open", "print", "tie", "bib", "none"], p=[0.38, 0.24, 0.12, 0.16, 0.1]))
    darker = luminance(shirt) > 90
    return Style(
        skin=shade(_SKIN[int(rng.integers(len(_SKIN)))], jitter),
        hair=shade(_HAIR[int(rng.integers(len(_HAIR)))], rng.uniform(0.8, 1.2)),
        shirt=shirt,
        sleeves=shade(shirt, rng.uniform(0.66, 0.85) if darker else rng.uniform(1.25, 1.6)),
        accent=contrasting(rng, shirt),
        legs=contrasting(rng, shirt, 30.0) if rng.random() < 0.6 else random_colour(rng, *_DULL),
        shoes=contrasting(rng, (90, 90, 90), 50.0),
        panel=panel,
        sleeve=int(rng.choice([0, 1, 2], p=[0.15, 0.45, 0.4])) if panel != "open" else 2,
        leg=str(rng.choice(["trousers", "shorts", "skirt"], p=[0.66, 0.22, 0.12])),
        pattern=str(rng.choice(["plain", "stripes", "blocks"], p=[0.66, 0.22, 0.12])),
        long_hair=bool(rng.random() < 0.35),
        hat=bool(rng.random() < 0.15),
        backpack=bool(rng.random() < 0.15),
    )


SUPERSAMPLE = 2  # drawn at twice the size, then averaged down: smooth edges without alpha masks
PARTS = 32  # owner map values are person * PARTS + part; 0 is where nothing was drawn
THING = PARTS - 1  # tag of seats and objects: nobody's
_SHIFT = 4
_ARC = np.stack([np.cos(t := np.linspace(0, np.pi, 9)), np.sin(t)], 1)
# A tube's four layers, from the rim to the highlight: how much narrower, how far towards the light.
_SHRINK = np.array([1.0, 1.0, 0.72, 0.3])[:, None, None]
_MOVE = np.array([0.0, 0.0, 0.22, 0.5])[:, None, None]
RIM = 0.45  # width in pixels of the dark outline that keeps parts apart
_LIGHT = np.array([-0.45, -0.6])


@dataclass
class Canvas:
    """A picture being drawn.

    Attributes:
        image: (H*S, W*S, 3) uint8 BGR, black where nothing was drawn; S = SUPERSAMPLE. Coordinates given
            to the methods are in final pixels.
        owner: (H*S, W*S) uint16: person * PARTS + part of what is on top; person 0
            are things, 0 is where nothing was drawn.
        tag: value that primitives leave in `owner`.
    """

    image: NDArray[np.uint8]
    owner: NDArray[np.uint16]
    tag: int = 0

    @classmethod
    def blank(cls, width: int, height: int) -> Canvas:
        """An empty canvas for a picture of the given size."""
        shape = (height * SUPERSAMPLE, width * SUPERSAMPLE)
        return cls(np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint16))

    def put_behind(self, background: NDArray[np.uint8]) -> None:
        """Let `background` (H, W, 3) show wherever nothing was drawn."""
        large = cv2.resize(background, self.image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        cv2.copyTo(self.image, (self.owner > 0).astype(np.uint8), large)
        self.image = np.asarray(large, np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in final pixels."""
        return self.image.shape[1] // SUPERSAMPLE, self.image.shape[0] // SUPERSAMPLE

    def fill(self, points: Floats, colour: Colour, *, own: bool = True) -> None:
        """Fill a convex polygon (N, 2); `own` also claims its pixels in the owner map."""
        fixed = _fixed(points)
        cv2.fillConvexPoly(self.image, fixed, colour, lineType=cv2.LINE_8, shift=_SHIFT)
        if own and self.tag:
            cv2.fillConvexPoly(self.owner, fixed, (self.tag,), lineType=cv2.LINE_8, shift=_SHIFT)

    def line(self, points: Floats, colour: Colour, width: float, *, own: bool = False) -> None:
        """An open line through (N, 2) points."""
        thickness = max(1, round(width * SUPERSAMPLE))
        fixed = [_fixed(points)]
        cv2.polylines(self.image, fixed, False, colour, thickness, cv2.LINE_8, _SHIFT)
        if own and self.tag:
            cv2.polylines(self.owner, fixed, False, (self.tag,), thickness, cv2.LINE_8, _SHIFT)

    def disc(self, centre: Floats, radius: float, colour: Colour, *, own: bool = True) -> None:
        """A filled circle."""
        x, y = (round((float(v) * SUPERSAMPLE - 0.5) * (1 << _SHIFT)) for v in centre)
        size = round(max(radius, 0.0) * (SUPERSAMPLE << _SHIFT))
        cv2.circle(self.image, (x, y), size, colour, -1, cv2.LINE_8, _SHIFT)
        if own and self.tag:
            cv2.circle(self.owner, (x, y), size, (self.tag,), -1, cv2.LINE_8, _SHIFT)

    def tube(self, a: Floats, b: Floats, ra: float, rb: float, colour: Colour) -> None:
        """A limb: a tapered capsule with a dark rim, a body and a lit side."""
        ends, arcs = _ends(a, b)
        radii = np.repeat([ra, rb], len(_ARC))[:, None]
        layers = ends + _SHRINK * radii * arcs + _MOVE * (_LIGHT * (ra + rb) / 2)
        layers[0] += RIM * arcs
        fixed = _fixed(layers)
        for outline, factor in zip(fixed, (0.42, 0.78, 1.0, 1.14), strict=True):
            cv2.fillConvexPoly(self.image, outline, shade(colour, factor), cv2.LINE_8, _SHIFT)
        if self.tag:
            cv2.fillConvexPoly(self.owner, fixed[0], (self.tag,), cv2.LINE_8, _SHIFT)

    def region(self, points: Floats) -> Region | None:
        """The pixels of a polygon as a patch to paint on; None when it is outside the picture."""
        fixed = _fixed(points)
        lo = np.floor(fixed[:, 0].min(0) / (1 << _SHIFT)).astype(int)
        hi = np.ceil(fixed[:, 0].max(0) / (1 << _SHIFT)).astype(int) + 2
        x0, y0 = np.maximum(lo, 0)
        x1, y1 = np.minimum(hi, self.image.shape[1::-1])
        if x1 <= x0 or y1 <= y0:
            return None
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        shifted = fixed - np.array([x0, y0], np.int32) * (1 << _SHIFT)
        cv2.fillPoly(mask, [shifted], (255,), lineType=cv2.LINE_8, shift=_SHIFT)
        return Region(int(x0), int(y0), mask)

    def paste(self, region: Region, patch: NDArray[np.uint8]) -> None:
        """Copy `patch` (h, w, 3) where the region's mask is set, claiming those pixels."""
        h, w = region.mask.shape
        window = (slice(region.y0, region.y0 + h), slice(region.x0, region.x0 + w))
        cv2.copyTo(patch, region.mask, self.image[window])
        if self.tag:
            self.owner[window][region.mask > 0] = self.tag

    def owner_at(self, point: Floats) -> int:
        """Owner map value at a point in final pixels; 0 outside the picture."""
        x, y = (int(v) for v in np.floor(np.asarray(point) * SUPERSAMPLE))
        h, w = self.owner.shape
        return int(self.owner[y, x]) if 0 <= x < w and 0 <= y < h else 0


@dataclass(frozen=True)
class Region:
    """A polygon's mask and where it sits, in supersampled pixels."""

    x0: int
    y0: int
    mask: NDArray[np.uint8]


def _fixed(points: Floats) -> NDArray[np.int32]:
    scaled = np.rint(points * (SUPERSAMPLE << _SHIFT)) - (1 << _SHIFT) // 2
    return scaled.astype(np.int32)[..., None, :]


def _ends(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """(18, 2) end points and unit directions of a capsule's outline."""
    dx, dy = float(b[0] - a[0]), float(b[1] - a[1])
    length = (dx * dx + dy * dy) ** 0.5
    c, s = (dx / length, dy / length) if length > 1e-9 else (1.0, 0.0)
    # The half circle 0..180 degrees, turned to lie beyond `a` and, mirrored, beyond `b`.
    half = _ARC @ np.array([[-s, c], [-c, -s]])
    return np.repeat(np.array([a, b], float), len(_ARC), axis=0), np.concatenate([half, -half])


def capsule(a: Floats, b: Floats, ra: float, rb: float) -> Floats:
    """(18, 2) outline of two discs and the strip between them."""
    ends, arcs = _ends(a, b)
    return ends + np.repeat([ra, rb], len(_ARC))[:, None] * arcs


def hull(points: Floats) -> Floats:
    """Convex hull of (N, 2) points."""
    return np.asarray(cv2.convexHull(np.asarray(points, np.float32))[:, 0], float)
