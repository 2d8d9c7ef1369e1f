"""CrowdPose's labels: crowdIndex, joint counts, boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supernet.data.synthetic.scene import CATEGORY, clip_box, keypoint_list, person_annotation
from supernet.pose.protocols import crowd_index
from supernet.pose.skeletons import Skeleton


def person(points: list[tuple[float, float]], box: tuple[float, float, float, float]) -> dict[str, Any]:
    """An annotation whose first joints are `points`, the others unlabelled."""
    xy = np.zeros((14, 2))
    xy[: len(points)] = points
    labelled = np.arange(14) < len(points)
    return person_annotation(0, 1, keypoint_list(xy, labelled, labelled), box)


def test_crowd_index_by_hand() -> None:
    first = person([(1, 1), (2, 2), (3, 3), (4, 4)], (0, 0, 10, 10))
    second = person([(10, 10), (11, 5), (0, 0), (20, 20), (21, 21)], (8, 8, 20, 20))
    # Two of the second's joints lie in the first's box (its borders included) of 4; none the other way.
    assert crowd_index([first, second]) == 0.25
    assert crowd_index([second, first]) == 0.25
    assert crowd_index([first]) == 0.0
    assert crowd_index([]) == 0.0


def test_crowd_index_leaves_out_people_with_three_joints_as_subjects_only() -> None:
    subject = person([(1, 1), (2, 2), (3, 3), (4, 4)], (0, 0, 10, 10))
    small = person([(5, 5), (6, 6), (7, 7)], (0, 0, 10, 10))
    assert crowd_index([subject, small]) == 0.75


def test_crowd_index_is_not_clipped() -> None:
    subject = person([(1, 1), (2, 2), (3, 3), (4, 4)], (0, 0, 10, 10))
    assert crowd_index([subject] * 4) == 3.0


def test_crowd_index_counts_head_and_neck_as_joints() -> None:
    xy = np.full((14, 2), 5.0)
    everything = np.ones(14, bool)
    all_joints = person_annotation(0, 1, keypoint_list(xy, everything, everything), (0, 0, 10, 10))
    limbs_only = np.arange(14) < 12
    limbs = person_annotation(0, 1, keypoint_list(xy, limbs_only, limbs_only), (0, 0, 10, 10))
    assert crowd_index([all_joints, limbs]) == np.round((12 / 14 + 14 / 12) / 2, 2)


def test_crowd_index_equals_all_of_crowdpose_val(shared: Path) -> None:
    file = shared / "data" / "crowdpose" / "json" / "crowdpose_val.json"
    if not file.is_file():
        pytest.skip("CrowdPose's val annotations are absent")
    document = json.loads(file.read_text())
    by_image: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    wrong = [i["id"] for i in document["images"] if crowd_index(by_image[i["id"]]) != i["crowdIndex"]]
    assert len(document["images"]) == 2000
    assert wrong == []
    assert document["categories"] == [CATEGORY]
    assert {frozenset(a) for a in document["annotations"]} == {frozenset(person([(0, 0)], (0, 0, 1, 1)))}


def test_num_keypoints_counts_only_the_first_twelve() -> None:
    xy = np.full((14, 2), 3.0)
    labelled = np.ones(14, bool)
    assert person_annotation(7, 8, keypoint_list(xy, labelled, labelled), (0, 0, 9, 9)) == {
        "num_keypoints": 12,
        "iscrowd": 0,
        "keypoints": [3, 3, 2] * 14,
        "image_id": 8,
        "bbox": [0.0, 0.0, 9.0, 9.0],
        "category_id": 1,
        "id": 7,
    }


def test_flags_tell_seen_hidden_and_unlabelled() -> None:
    xy = np.full((14, 2), 4.4)
    labelled, visible = np.ones(14, bool), np.ones(14, bool)
    labelled[1] = visible[2] = False
    assert keypoint_list(xy, labelled, visible)[:9] == [4, 4, 2, 0, 0, 0, 4, 4, 1]


def test_category_has_the_skeletons_joints() -> None:
    assert tuple(CATEGORY["keypoints"]) == Skeleton.load("crowdpose").joints


def test_clip_box() -> None:
    assert clip_box((-5, 2, 20, 30), 10, 40) == (0, 2, 10, 28)
    assert clip_box((50, 50, 60, 60), 10, 10) == (10, 10, 0, 0)
