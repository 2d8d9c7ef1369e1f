"""Skeletons, grouping, inference, scoring and drawing: numpy, scipy and OpenCV, never torch."""

from __future__ import annotations

from .._lazy import lazy_names

lazy_names(
    __name__,
    {
        "Skeleton": "skeletons",
        "People": "grouping",
        "decode": "grouping",
        "score": "scoring",
    },
)
