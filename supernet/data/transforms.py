"""Training augmentation as one affine warp of image, loss mask and joints.

Matrices are 2x3 and map continuous coordinates, in which pixel i spans [i, i+1): its centre is i + 0.5.
OpenCV counts pixel centres as integers instead; `pixel_centre_matrix` translates for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..pose.preprocess import average_blocks
from .annotations.records import FloatArray
from .images.decode import UInt8Image
from .options import AugmentOptions


@dataclass(frozen=True, eq=False)
class Augmentation:
    """One drawn augmentation.

    Attributes:
        matrix: 2x3 float64, image coordinates to crop coordinates; a flip is part of it.
        flip: whether it mirrors, so that left and right joints must change places.
        resolution: side of the square crop in pixels.
    """

    matrix: FloatArray
    flip: bool
    resolution: int


def sample(
    rng: np.random.Generator, width: int, height: int, resolution: int, options: AugmentOptions
) -> Augmentation:
    """Draw one augmentation of a `width` x `height` image to a square crop of side `resolution`.

    The crop is a square of `scale` times the image's short side about the image's centre, shifted, turned and
    perhaps mirrored, all uniform in the ranges of `options`. It always takes five draws from `rng`.
    """
    turn, zoom, shift_x, shift_y, coin = rng.random(5)
    low, high = options.scale
    side = min(width, height) * (low + (high - low) * zoom)
    centre_x = width / 2 + (2 * shift_x - 1) * options.translation * side
    centre_y = height / 2 + (2 * shift_y - 1) * options.translation * side
    angle = math.radians((2 * turn - 1) * options.rotation)
    flip = bool(coin < options.flip)
    factor = resolution / side
    cos, sin = factor * math.cos(angle), factor * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    if flip:
        linear[0] = -linear[0]
    offset = resolution / 2 - linear @ np.array([centre_x, centre_y])
    return Augmentation(np.column_stack([linear, offset]), flip, resolution)


def warp_image(image: UInt8Image, augmentation: Augmentation, out: UInt8Image | None = None) -> UInt8Image:
    """The (R, R, 3) uint8 crop of `image`; black outside it, as in test-time padding.

    Args:
        image: (H, W, 3) uint8.
        augmentation: where to.
        out: contiguous (R, R, 3) array to write to.
    """
    return warp_pixels(image, augmentation.matrix, (augmentation.resolution,) * 2, out)


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

    Args:
        mirror: for every joint the index of its mirror image (`Skeleton.flip`).
    """
    if augmentation.flip:
        keypoints = keypoints[:, list(mirror)]
    mapped = warp_points(keypoints[..., :2], augmentation.matrix)
    return np.concatenate([mapped, keypoints[..., 2:]], axis=-1)


def pixel_centre_matrix(matrix: FloatArray) -> FloatArray:
    """`matrix` for OpenCV, which counts the centre of pixel i as i and not as i + 0.5."""
    shifted = matrix.copy()
    shifted[:, 2] += 0.5 * matrix[:, :2].sum(axis=1) - 0.5
    return shifted
