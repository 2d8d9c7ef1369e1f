"""CrowdPose labels: boxes, joint flags and crowdIndex, as CrowdPose's own files have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .body import Floats

CATEGORY: dict[str, Any] = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "keypoints": [
        "left_shoulder",
        "right_shoulder",
        "left_elbow",
        "right_elbow",
        "left_wrist",
        "right_wrist",
        "left_hip",
        "right_hip",
        "left_knee",
        "right_knee",
        "left_ankle",
        "right_ankle",
        "head",
        "neck",
    ],
    # CrowdPose's files carry COCO's skeleton here; kept because readers expect the very same entry.
    "skeleton": [
        [16, 14],
        [14, 12],
        [17, 15],
        [15, 13],
        [12, 13],
        [6, 12],
        [7, 13],
        [6, 7],
        [6, 8],
        [7, 9],
        [8, 10],
        [9, 11],
    ],
}


def crowd_index(annotations: Sequence[dict[str, Any]]) -> float:
    """CrowdPose's crowdIndex of one image from its annotations (14 joints each).

    Mean, over people with `num_keypoints` > 3, of (labelled joints of all other annotations inside the
    person's box, borders included) / (the person's own labelled joints); all 14 joints count; two
    decimals, not clipped; 0 without such people. Equal to the `crowdIndex` of all 2,000 images of
    CrowdPose's val file when the annotations come in file order. Formula: Li et al., "CrowdPose",
    CVPR 2019, section 3, with what the files show.
    """
    joints = [np.asarray(a["keypoints"], float).reshape(-1, 3) for a in annotations]
    labelled = [k[k[:, 2] > 0, :2] for k in joints]
    ratios = []
    for i, annotation in enumerate(annotations):
        if annotation["num_keypoints"] <= 3:
            continue
        x, y, w, h = annotation["bbox"]
        others = [k for j, k in enumerate(labelled) if j != i]
        points = np.concatenate(others) if others else np.zeros((0, 2))
        inside = (points >= (x, y)).all(1) & (points <= (x + w, y + h)).all(1)
        ratios.append(int(inside.sum()) / len(labelled[i]))
    # numpy's rounding, not Python's: the files differ from the latter on exact halves.
    return float(np.round(np.mean(ratios), 2)) if ratios else 0.0


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
