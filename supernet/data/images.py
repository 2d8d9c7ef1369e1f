"""Decoding images, and reading their size from the first bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import InputError

UInt8Image: TypeAlias = npt.NDArray[np.uint8]

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Markers without a length field: TEM, RST0-7, SOI, EOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xDA)})
# Start-of-frame markers; C4 (Huffman tables), C8 and CC lie in the same range and are none.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN_MARKER = 0xDA


def decode_rgb(data: bytes, name: str) -> UInt8Image:
    """The image in `data` as (H, W, 3) uint8 RGB; an EXIF rotation is ignored, as the annotations do.

    Raises:
        InputError: `data` is no image, or is truncated; the message begins with `name`.
    """
    if data[:2] == _JPEG_START and _JPEG_END not in data[_scan_start(data) :]:
        raise InputError(f"{name} is a truncated JPEG; fetch it again")
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded: {' '.join(str(error).split())}") from None
    if image is None:
        raise InputError(f"{name} is not a readable image ({len(data)} bytes); fetch it again")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def image_size(read: Callable[[int], bytes], name: str) -> tuple[int, int]:
    """(width, height) of an image file, from as few bytes as its format allows.

    Args:
        read: gives the file's first n bytes (all of them for n = -1).
        name: what to call the file in a message.

    Raises:
        InputError: the file is no image.
    """
    data = read(4096)
    if data[:2] == _JPEG_START:
        size = _jpeg_size(data) or _jpeg_size(read(-1))
        if size is None:
            raise InputError(f"{name} is a JPEG without a frame header; fetch it again")
        return size
    if data[:8] == _PNG_START and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    image = decode_rgb(read(-1), name)
    return image.shape[1], image.shape[0]


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for marker, position in _segments(data):
        if marker in _FRAME_MARKERS and position + 7 <= len(data):
            height = int.from_bytes(data[position + 3 : position + 5], "big")
            width = int.from_bytes(data[position + 5 : position + 7], "big")
            return (width, height) if width and height else None
    return None


def _scan_start(data: bytes) -> int:
    """Where the compressed pixels begin, behind any thumbnail with an end marker of its own."""
    for marker, position in _segments(data):
        if marker == _SCAN_MARKER:
            return position
    return len(data)


def _segments(data: bytes) -> list[tuple[int, int]]:
    """The (marker, position of its length field) pairs of a JPEG up to its first scan."""
    found: list[tuple[int, int]] = []
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        found.append((marker, position + 2))
        if marker == _SCAN_MARKER:
            break
        step = 0 if marker in _BARE_MARKERS else int.from_bytes(data[position + 2 : position + 4], "big")
        position += 2 + step
    return found
