"""Drawing primitives on a picture and, beside it, on a map of who is seen where."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .render_body import Floats
from .render_style import Colour
from .render_style import shade

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
