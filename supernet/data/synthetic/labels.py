"""CrowdPose labels: boxes and joint flags, as CrowdPose's own files have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pose.skeletons import Skeleton
from .body import Floats

CATEGORY: dict[str, Any] = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "keypoints": list(Skeleton.load("crowdpose").joints),
    # CrowdPose's files carry COCO's skeleton here; kept because readers expect the very same entry.
    "skeleton": [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10],
        [9, 11],
    ],
}  # fmt: skip


def keypoint_list(xy: Floats, labelled: NDArray[np.bool_], visible: NDArray[np.bool_]) -> list[int]:
    """42 integers x, y, v: v is 2 when seen, 1 when hidden, 0 (with x = y = 0) when not labelled."""
    flags = np.where(visible, 2, 1) * labelled
    rows = np.where(labelled[:, None], np.rint(xy), 0)
    return [int(v) for v in np.concatenate([rows, flags[:, None]], 1).ravel()]


def person_annotation(
    identity: int, image_id: int, keypoints: list[int], bbox: Sequence[float], iscrowd: int = 0
) -> dict[str, Any]:
    """One CrowdPose annotation; `num_keypoints` counts only the first 12 joints, as CrowdPose does."""
    return {
        "num_keypoints": sum(v > 0 for v in keypoints[2:36:3]),
        "iscrowd": int(iscrowd),
        "keypoints": keypoints,
        "image_id": image_id,
        "bbox": [round(float(v), 2) for v in bbox],
        "category_id": 1,
        "id": identity,
    }


def clip_box(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 cut to the image, as x, y, w, h."""
    x0, y0 = max(0.0, min(box[0], width)), max(0.0, min(box[1], height))
    x1, y1 = max(0.0, min(box[2], width)), max(0.0, min(box[3], height))
    return x0, y0, x1 - x0, y1 - y0
