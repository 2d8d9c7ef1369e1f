"""Images to network input: resized, padded and normalised, with the way back to image coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .people import Floats, People

SHORT_MULTIPLE = 32  # resolutions of a search space are multiples of this
LONG_MULTIPLE = 64
LONGEST = 32  # an input longer than this many times its short side is refused
# RGB / 255 of ImageNet
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_STD = (0.229, 0.224, 0.225)

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class View:
    """One image at one network input size.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, black where the image does not reach; kept as bytes, a quarter of the
            network's own form.
        scale, offset: input = image * scale + offset, both continuous (pixel i spans [i, i+1)).
    """

    pixels: UInt8
    scale: float
    offset: tuple[float, float]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the network input."""
        return self.pixels.shape[0], self.pixels.shape[1]


def to_image(people: People, view: View, size: tuple[int, ...]) -> People:
    """`people` on a heatmap of `size` (H, W) in the coordinates of the image that `view` shows."""
    stride_y, stride_x = view.size[0] / size[0], view.size[1] / size[1]
    scale = (stride_x / view.scale, stride_y / view.scale)
    return people.moved(scale, (-view.offset[0] / view.scale, -view.offset[1] / view.scale))


def preprocess(image: Any, resolution: int, scale: float = 1.0, square: bool = False) -> View:
    """Resize `image` uniformly and pad it with black, centred.

    The short side becomes `resolution * scale` rounded up to a multiple of 32, the long side what the image
    then needs rounded up to a multiple of 64. With `square` the long side fills a `resolution` x `resolution`
    input (one fixed shape for every image). EXIF rotation is the reader's business.

    Args:
        image: (H, W, 3) uint8 RGB.
        resolution: pixels (>= 1).
        scale: factor for multi-scale tests (> 0).

    Raises:
        InputError: not such an image, an empty one, or one more than 32 times as long as it is wide.
    """
    pixels = check_image(image)
    if resolution < 1 or not scale > 0:
        raise InputError(f"resolution and scale must be positive, got {resolution} and {scale}")
    height, width = pixels.shape[:2]
    check_shape(width, height)
    rows, columns = padded_shape(resolution, height, width, scale, square)
    factor = min(rows, columns) / (max if square else min)(height, width)
    offset = ((columns - width * factor) / 2, (rows - height * factor) / 2)
    return View(place(pixels, factor, offset, (columns, rows)), factor, offset)


def padded_shape(
    resolution: int, height: int, width: int, scale: float = 1.0, square: bool = False
) -> tuple[int, int]:
    """(height, width) of the input that `preprocess` makes of an image of `height` x `width` pixels."""
    side = -(-round(resolution * scale * 1000) // (1000 * SHORT_MULTIPLE)) * SHORT_MULTIPLE
    if square:
        return side, side
    # In whole numbers, so that an exact multiple is not rounded up.
    short, long = sorted((height, width))
    other = -(-long * side // (short * LONG_MULTIPLE)) * LONG_MULTIPLE
    return (side, other) if height == short else (other, side)


def check_shape(width: int, height: int) -> None:
    """Nothing, if an image of that many pixels is not too long for a network input.

    Raises:
        InputError: it is more than 32 times as long as wide.
    """
    if max(width, height) > LONGEST * min(width, height):
        raise InputError(f"an image of {width} x {height} pixels is over {LONGEST} times as long as wide")


def check_image(image: Any) -> UInt8:
    """`image` if it is an (H, W, 3) uint8 array with pixels.

    Raises:
        InputError: it is not.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"an image must be an (H, W, 3) uint8 RGB array, not {kind}")
    if 0 in image.shape:
        raise InputError(f"an image must have pixels, got shape {image.shape}")
    return image


def place(pixels: UInt8, factor: float, offset: tuple[float, float], size: tuple[int, int]) -> UInt8:
    """`pixels` at continuous `x * factor + offset` on a black canvas of `size` (W, H)."""
    blocks = int(1 / factor + 1e-9)
    if blocks >= 2:
        # Linear interpolation reads 2x2 pixels, so a larger image would alias; training averages likewise.
        pixels, factor = average_blocks(pixels, blocks), factor * blocks
    # OpenCV counts the centre of pixel i as i, not as i + 0.5.
    shift = [edge + 0.5 * factor - 0.5 for edge in offset]
    matrix = np.array([[factor, 0, shift[0]], [0, factor, shift[1]]])
    return np.asarray(cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR), np.uint8)


def average_blocks(pixels: UInt8, blocks: int) -> UInt8:
    """`pixels` averaged over `blocks` x `blocks`; at the right and bottom the last ones fill a remainder."""
    right, bottom = -pixels.shape[1] % blocks, -pixels.shape[0] % blocks
    if right or bottom:
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    size = (pixels.shape[1] // blocks, pixels.shape[0] // blocks)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def normalise(images: Sequence[UInt8]) -> Floats:
    """Network input (B, 3, H, W) float32 of (H, W, 3) uint8 RGB images of one size: ImageNet mean and std."""
    height, width = images[0].shape[:2]
    batch = np.empty((len(images), 3, height, width), np.float32)
    for image, planes in zip(images, batch, strict=True):
        for channel in range(3):
            gain = 1 / (255 * IMAGE_STD[channel])
            np.multiply(image[..., channel], np.float32(gain), out=planes[channel])
            planes[channel] -= np.float32(IMAGE_MEAN[channel] / IMAGE_STD[channel])
    return batch
