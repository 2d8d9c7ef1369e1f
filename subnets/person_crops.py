"""One person per crop: the affine warp from an image to a network's input and back, targets and decoding.

The layout of Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018: the box grown
to the input's aspect and by a quarter, heatmaps at 1/4, the best pixel shifted a quarter towards its larger
neighbours. Coordinates are continuous: pixel i spans [i, i+1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from supernet.data.images import UInt8Image
from supernet.data.records import FloatArray
from supernet.data.transforms import warp_pixels
from supernet.data.transforms import warp_points
from supernet.pose.people import Floats

from .topdown_options import CropOptions

MARGIN = 1.25
STRIDE = 4
# Of a box, in image pixels: one joint has none.
SMALLEST_SIDE = 1.0
SIGMA = 2.0


@dataclass(frozen=True, eq=False)
class Crop:
    """Where a crop comes from.

    Attributes:
        matrix: 2x3 float64, image coordinates to input coordinates; a mirror image is part of it.
        mirrored: whether it is one.
    """

    matrix: FloatArray
    mirrored: bool = False


def crop_of_box(
    box: FloatArray, shape: tuple[int, int], angle: float = 0.0, zoom: float = 1.0, mirrored: bool = False
) -> Crop:
    """The crop that shows `box` upright in the middle of the input.

    Args:
        box: x, y, width, height in the image.
        shape: (height, width) of the input.
        angle: rotation in degrees.
        zoom: size of the crop relative to the box with its margin.
        mirrored: left and right exchanged.
    """
    x, y, box_width, box_height = np.maximum(box, (-np.inf, -np.inf, SMALLEST_SIDE, SMALLEST_SIDE))
    height, width = shape
    factor = min(width / box_width, height / box_height) / (MARGIN * zoom)
    cos, sin = factor * math.cos(math.radians(angle)), factor * math.sin(math.radians(angle))
    linear = np.array([[cos, -sin], [sin, cos]])
    if mirrored:
        linear[0] = -linear[0]
    centre = np.array([x + box_width / 2, y + box_height / 2])
    return Crop(np.column_stack([linear, np.array([width, height]) / 2 - linear @ centre]), mirrored)


def random_crop(
    rng: np.random.Generator, box: FloatArray, shape: tuple[int, int], options: CropOptions
) -> Crop:
    """An augmented crop; always three draws from `rng`. A `flip` of None mirrors nothing."""
    turn, grow, coin = rng.random(3)
    zoom = 1 + (2 * grow - 1) * options.scale
    return crop_of_box(
        box, shape, (2 * turn - 1) * options.rotation, zoom, bool(coin < (options.flip or 0.0))
    )


def warp_crop(image: UInt8Image, crop: Crop, shape: tuple[int, int]) -> UInt8Image:
    """The (height, width, 3) uint8 crop of `image`, black outside it, in one affine warp."""
    return warp_pixels(image, crop.matrix, (shape[1], shape[0]))


def crop_targets(
    keypoints: FloatArray, crop: Crop, shape: tuple[int, int], mirror: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """Heatmaps and which of them count, for one person.

    Args:
        keypoints: (J, 3) x, y, v in the image.
        crop: as the image was warped.
        shape: (height, width) of the input.
        mirror: for every joint the index of its mirror image (`Skeleton.flip`).

    Returns:
        (J, height/4, width/4) float32 Gaussians of sigma 2, and (J,) float32: 1 for labelled joints that are
        in the crop.
    """
    if crop.mirrored:
        keypoints = keypoints[list(mirror)]
    xy = warp_points(keypoints[:, :2], crop.matrix) / STRIDE
    height, width = shape[0] // STRIDE, shape[1] // STRIDE
    inside = ((xy >= 0) & (xy < (width, height))).all(axis=1) & (keypoints[:, 2] > 0)
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    curve_x = np.exp((columns - xy[:, :1]) ** 2 * (-0.5 / SIGMA**2))
    curve_y = np.exp((rows - xy[:, 1:]) ** 2 * (-0.5 / SIGMA**2))
    heats_jhw = curve_y[:, :, None] * curve_x[:, None, :] * inside[:, None, None]
    return heats_jhw.astype(np.float32), inside.astype(np.float32)


def decode_crop(heats_jhw: Floats, crop: Crop) -> Floats:
    """(J, 3) float32 x, y in the image and score: the best pixel of each map, shifted by a quarter."""
    joints, height, width = heats_jhw.shape
    place = heats_jhw.reshape(joints, -1).argmax(axis=1)
    row, column = place // width, place % width
    each = np.arange(joints)
    score = heats_jhw[each, row, column]
    left, right = (heats_jhw[each, row, np.clip(column + step, 0, width - 1)] for step in (-1, 1))
    above, below = (heats_jhw[each, np.clip(row + step, 0, height - 1), column] for step in (-1, 1))
    shift_x = 0.25 * np.sign(right - left) * ((column > 0) & (column < width - 1))
    shift_y = 0.25 * np.sign(below - above) * ((row > 0) & (row < height - 1))
    xy = STRIDE * np.stack([column + 0.5 + shift_x, row + 0.5 + shift_y], axis=1)
    back = (xy - crop.matrix[:, 2]) @ np.linalg.inv(crop.matrix[:, :2]).T
    return np.concatenate([back, score[:, None]], axis=1).astype(np.float32)
