"""Training augmentation: one affine warp of image, loss mask and joints; mosaics; colour, blur and JPEG.

Matrices are 2x3 and map continuous coordinates, in which pixel i spans [i, i+1): its centre is i + 0.5.
OpenCV counts pixel centres as integers instead; `pixel_centre_matrix` translates for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from ..pose.preprocess import average_blocks
from .annotations.records import BoolArray, FloatArray
from .images.decode import UInt8Image
from .options import AugmentOptions

Scalar = TypeVar("Scalar", bound=np.generic)
# The border of two images in a mosaic lies within these shares of the crop's side.
_BORDER = (0.35, 0.65)
_QUALITY = (30, 95)
_LUMA = np.array([0.299, 0.587, 0.114])
# Turns a colour by 90 degrees about the grey axis, times the square root of 3.
_TURN = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])


class Cell(NamedTuple):
    """A part of a crop or of a map, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, array: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """This part of `array` (H, W, ...), as a view."""
        return array[self.top : self.top + self.height, self.left : self.left + self.width]

    def scaled(self, factor: float) -> Cell:
        """The same part of a map that is `factor` times as large."""
        return Cell(*(round(factor * side) for side in self))

    def holds(self, points: FloatArray) -> BoolArray:
        """(...) whether `points` (..., 2) lie in it."""
        low, high = (self.left, self.top), (self.left + self.width, self.top + self.height)
        return np.asarray(((points >= low) & (points < high)).all(axis=-1))


@dataclass(frozen=True, eq=False)
class Augmentation:
    """One drawn augmentation.

    Attributes:
        matrix: 2x3 float64, image coordinates to crop coordinates; a flip is part of it.
        flip: whether it mirrors, so that left and right joints must change places.
        resolution: side of the square crop in pixels.
        part: of the crop that the image goes to; None for all of it.
    """

    matrix: FloatArray
    flip: bool
    resolution: int
    part: Cell | None = None

    @property
    def cell(self) -> Cell:
        """The part of the crop that the image goes to."""
        return self.part or Cell(0, 0, self.resolution, self.resolution)


def mosaic(
    rng: np.random.Generator, resolution: int, options: AugmentOptions, grid: int
) -> Sequence[Cell | None]:
    """The parts of a crop of side `resolution` that an image each goes to; None is all of it.

    With the probability `options.mosaic` they are two beside each other or two by two, with borders at
    multiples of `grid`; if that is 0, nothing is drawn from `rng`.
    """
    if not options.mosaic or rng.random() >= options.mosaic:
        return [None]
    x, y = (round(resolution * share / grid) * grid for share in rng.uniform(*_BORDER, 2))
    rows = [(0, resolution)] if rng.random() < 0.5 else [(0, y), (y, resolution - y)]
    columns = [(0, x), (x, resolution - x)]
    return [Cell(left, top, width, height) for top, height in rows for left, width in columns]


def sample(
    rng: np.random.Generator,
    width: int,
    height: int,
    resolution: int,
    options: AugmentOptions,
    part: Cell | None = None,
) -> Augmentation:
    """Draw one augmentation of a `width` x `height` image to a square crop of side `resolution`.

    What is seen is a square of `scale` times the image's short side about the image's centre, shifted, turned
    and perhaps mirrored, all uniform in the ranges of `options`. It always takes five draws from `rng`.
    In a `part` of the crop the square is as large as the part, and cut at its borders.
    """
    turn, zoom, shift_x, shift_y, coin = rng.random(5)
    low, high = options.scale
    side = min(width, height) * (low + (high - low) * zoom)
    centre_x = width / 2 + (2 * shift_x - 1) * options.translation * side
    centre_y = height / 2 + (2 * shift_y - 1) * options.translation * side
    angle = math.radians((2 * turn - 1) * options.rotation)
    flip = bool(coin < options.flip)
    cell = part or Cell(0, 0, resolution, resolution)
    factor = math.sqrt(cell.width * cell.height) / side
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    if flip:
        linear[0] = -linear[0]
    centre = np.array([cell.left + cell.width / 2, cell.top + cell.height / 2])
    offset = centre - linear @ np.array([centre_x, centre_y])
    return Augmentation(np.column_stack([linear, offset]), flip, resolution, part)


def warp_image(image: UInt8Image, augmentation: Augmentation, out: UInt8Image | None = None) -> UInt8Image:
    """The (h, w, 3) uint8 part of the crop that `image` goes to; black outside it, as in test-time padding.

    Args:
        image: (H, W, 3) uint8.
        augmentation: where to.
        out: (h, w, 3) array to write to.
    """
    cell, matrix = augmentation.cell, augmentation.matrix.copy()
    matrix[:, 2] -= cell[:2]
    return warp_pixels(image, matrix, (cell.width, cell.height), out)


def warp_pixels(
    image: UInt8Image, matrix: FloatArray, size: tuple[int, int], out: UInt8Image | None = None
) -> UInt8Image:
    """`image` (H, W, 3) under the 2x3 `matrix`, as an image of `size` (width, height), black outside it.

    Linear interpolation reads 2x2 pixels, so an image that shrinks by 2 or more is first averaged over whole
    blocks; that removes aliasing without moving anything.
    """
    blocks = int(1.0 / math.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-9)
    if blocks >= 2:
        image = average_blocks(image, blocks)
        matrix = matrix * np.array([blocks, blocks, 1.0])
    warped = cv2.warpAffine(image, pixel_centre_matrix(matrix), size, dst=out, flags=cv2.INTER_LINEAR)
    return np.asarray(warped, dtype=np.uint8)


def warp_points(points: FloatArray, matrix: FloatArray) -> FloatArray:
    """`points` (..., 2) mapped by the 2x3 `matrix`."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)


def warp_keypoints(keypoints: FloatArray, augmentation: Augmentation, mirror: tuple[int, ...]) -> FloatArray:
    """`keypoints` (P, J, 3) in crop coordinates; a mirrored person's left and right joints change places.

    In a part of the crop, joints outside of it are unlabelled (v = 0): another image is there.

    Args:
        mirror: for every joint the index of its mirror image (`Skeleton.flip`).
    """
    if augmentation.flip:
        keypoints = keypoints[:, list(mirror)]
    mapped = warp_points(keypoints[..., :2], augmentation.matrix)
    seen = keypoints[..., 2:]
    if augmentation.part is not None:
        seen = seen * augmentation.part.holds(mapped)[..., None]
    return np.concatenate([mapped, seen], axis=-1)


def photograph(image: UInt8Image, rng: np.random.Generator, options: AugmentOptions) -> None:
    """Blur, colour and compress `image` (H, W, 3) uint8 RGB in its place, as `options` say.

    If they say nothing, nothing is drawn from `rng`; otherwise always eight numbers.
    """
    changes = np.array([options.brightness, options.contrast, options.saturation, options.hue])
    if not (changes.any() or options.grey or options.blur or options.jpeg):
        return
    draws = rng.random(8)
    brightness, contrast, saturation, hue = (2 * draws[:4] - 1) * changes
    if (sigma := options.blur * draws[4]) > 0.3:  # less changes nothing
        cv2.GaussianBlur(image, (0, 0), sigma, dst=image)
    if changes.any() or options.grey:
        colour = 0.0 if draws[5] < options.grey else 1 + saturation
        matrix = (1 + contrast) * _turned(hue) @ (colour * np.eye(3) + (1 - colour) * _LUMA)
        offset = 255 * brightness - 127.5 * contrast
        cv2.transform(image, np.column_stack([matrix, [offset] * 3]), dst=image)
    if draws[6] < options.jpeg:
        quality = round(_QUALITY[0] + (_QUALITY[1] - _QUALITY[0]) * draws[7])
        # OpenCV takes red for blue here, and back again.
        written = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image[...] = np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR), np.uint8)


def _turned(degrees: float) -> FloatArray:
    """The 3x3 rotation of RGB colours about the grey axis."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.asarray(cos * np.eye(3) + (1 - cos) / 3 + sin / math.sqrt(3) * _TURN)


def pixel_centre_matrix(matrix: FloatArray) -> FloatArray:
    """`matrix` for OpenCV, which counts the centre of pixel i as i and not as i + 0.5."""
    shifted = matrix.copy()
    shifted[:, 2] += 0.5 * matrix[:, :2].sum(axis=1) - 0.5
    return shifted
