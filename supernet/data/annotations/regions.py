"""Regions that the heatmap loss leaves out, as COCO's segmentations give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .records import FloatArray, Region


def read_region(segmentation: Any, box: FloatArray, width: int, height: int) -> Region:
    """The region of an unlabelled person or a crowd: its polygons or run-length mask, failing that its box.

    CrowdPose has boxes only. A box is a coarse mask, yet without it the network is told that a person whom
    nobody labelled is background; `loss_mask` keeps other people's labelled joints inside it.

    Raises:
        ValueError: the segmentation is malformed; the text goes behind "segmentation".
    """
    if not segmentation:
        x, y, w, h = (float(value) for value in box)
        return Region.box(x, y, w, h)
    if isinstance(segmentation, Mapping):
        return Region(rle=_read_rle(segmentation, width, height))
    if not isinstance(segmentation, list):
        raise ValueError("is neither polygons nor a run-length mask")
    return Region(polygons=tuple(_polygon(value) for value in segmentation))


def decode_rle(rle: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """The (height, width) 0/1 mask of a region's run-length mask."""
    from pycocotools import mask as coco_mask

    return np.asarray(coco_mask.decode(dict(rle)), dtype=np.uint8)


def _read_rle(rle: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    """The compressed form of a run-length mask, safe to decode: pycocotools trusts what it is given."""
    from pycocotools import mask as coco_mask

    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, list) or size not in ([height, width], [width, height]):
        raise ValueError(f"has size {size!r:.40}, the image is {width}x{height}")
    if isinstance(counts, list) and all(type(c) is int and c >= 0 for c in counts):
        pixels = sum(counts)
    elif isinstance(counts, str):
        pixels = _compressed_length(counts.encode())
    else:
        raise ValueError(f"has counts {counts!r:.40}")
    if pixels != size[0] * size[1]:
        raise ValueError("has run lengths that do not add up to the image")
    if isinstance(counts, str):
        return {"size": size, "counts": counts.encode()}
    return dict(coco_mask.frPyObjects({"size": size, "counts": counts}, size[0], size[1]))


def _polygon(value: Any) -> FloatArray:
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not numbers or len(value) < 6 or len(value) % 2:
        raise ValueError(f"has a polygon {value!r:.40}, not a list of x, y pairs")
    corners = np.array(value, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(corners).all():
        raise ValueError("has a polygon with a value that is not finite")
    return corners


def _compressed_length(data: bytes) -> int:
    """Pixels that a compressed COCO run-length string covers; -1 when it ends within a number.

    The format (pycocotools, maskApi): 5 bits a character, offset 48, bit 5 = more to come, each run from
    the third on as the difference to the run two before.
    """
    runs: list[int] = []
    position = 0
    while position < len(data):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(data) or not 48 <= data[position] < 112:
                return -1
            chunk = data[position] - 48
            value |= (chunk & 0x1F) << shift
            more = bool(chunk & 0x20)
            position += 1
            shift += 5
            if not more and chunk & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0:
            return -1
    return sum(runs)
