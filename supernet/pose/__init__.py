"""Skeletons, grouping, inference, scoring and drawing: numpy, scipy and OpenCV, never torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
    from .grouping import DecodeOptions as DecodeOptions
    from .grouping import decode as decode
    from .people import People as People
    from .skeletons import Skeleton as Skeleton

lazy_names(
    __name__,
    {
        "Skeleton": "skeletons",
        "People": "people",
        "DecodeOptions": "grouping",
        "decode": "grouping",
        "score": "scoring",
    },
)
