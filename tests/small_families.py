"""The comparison networks at their smallest: settings of each family."""

from __future__ import annotations

from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "higherhrnet": {
        "widths": [4, 8, 12],
        "blocks": [[0, 1], [1, 0, 1]],
        "modules": [1, 1],
        "head": 6,
        "stem": 8,
        "bottlenecks": 1,
        "head_blocks": 1,
    },
    "efficienthrnet": {"level": 8, "width": 0.25, "depth": 0.3, "modules": [1, 1, 1], "blocks": 1},
    "lpn": {"depths": [1, 1, 1, 1], "widths": [8, 16, 16, 32], "deconvs": [16, 16]},
    "lightweight-openpose": {"channels": 8, "heatmaps": 4, "fields": 6},
}
