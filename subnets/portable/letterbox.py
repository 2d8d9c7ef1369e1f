"""An image in a network input of one fixed shape."""

from __future__ import annotations

from typing import Any

from supernet.pose.preprocess import View
from supernet.pose.preprocess import check_image
from supernet.pose.preprocess import place


def letterbox(image: Any, shape: tuple[int, int]) -> View:
    """`image` (H, W, 3) uint8 RGB as large as it fits into (height, width) = `shape`, centred on black.

    Raises:
        InputError: it is no such image.
    """
    pixels = check_image(image)
    height, width = shape
    factor = min(height / pixels.shape[0], width / pixels.shape[1])
    offset = ((width - pixels.shape[1] * factor) / 2, (height - pixels.shape[0] * factor) / 2)
    return View(place(pixels, factor, offset, (width, height)), factor, offset)
