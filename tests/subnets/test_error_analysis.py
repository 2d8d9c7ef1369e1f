"""Kinds of error, counted on people whose joints are moved by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from subnets.error_analysis import KINDS
from subnets.error_analysis import analyse
from supernet.pose import Skeleton

SKELETON = Skeleton.load("crowdpose")
JOINTS = SKELETON.num_joints


def pose(x: float, y: float) -> np.ndarray:
    """All joints labelled, 30 pixels apart, on a grid of two rows."""
    columns, rows = np.arange(JOINTS) // 2, np.arange(JOINTS) % 2
    return np.stack([x + 30.0 * columns, y + 30.0 * rows, np.full(JOINTS, 2.0)], axis=1)


def person(image_id: int, keypoints: np.ndarray, **other: Any) -> dict[str, Any]:
    # An area of 100 x 53: at similarity 0.5 a shoulder is off by 13.5 pixels, at 0.85 by 6.6.
    return {"image_id": image_id, "keypoints": keypoints.ravel().tolist(), "bbox": [0, 0, 100, 100], **other}


def found(image_id: int, keypoints: np.ndarray, score: float = 1.0) -> dict[str, Any]:
    return {"image_id": image_id, "keypoints": keypoints.ravel().tolist(), "score": score}


def test_each_kind_of_error_is_told_apart() -> None:
    first, second = pose(0, 0), pose(0, 300)
    truth = [person(1, first), person(1, second)]
    left = SKELETON.joints.index("left_shoulder")
    places = {
        "good": first[left, :2] + (3, 0),
        "jitter": first[left, :2] + (10, 0),
        "inversion": first[SKELETON.flip[left], :2],
        "swap": second[left, :2],
        "miss": (600.0, 600.0),
    }
    for kind, place in places.items():
        moved = first.copy()
        moved[left, :2] = place
        detection = found(1, moved)
        analysis = analyse({"annotations": truth}, [detection], SKELETON)
        assert KINDS[int(analysis.counts[left].argmax())] == kind
        assert analysis.counts.sum() == JOINTS, "only the joints of the person found"
        assert (analysis.people, analysis.found, analysis.unmatched) == (2, 1, 0)


def test_a_perfect_result_is_all_good() -> None:
    truth = [person(1, pose(0, 0)), person(2, pose(5, 5)), person(2, pose(5, 300))]
    detections = [found(p["image_id"], np.array(p["keypoints"])) for p in truth]
    analysis = analyse({"annotations": truth}, detections, SKELETON)
    assert analysis.counts[:, 0].tolist() == [3] * JOINTS
    assert analysis.shares()[:, 0].tolist() == [1.0] * JOINTS
    assert (analysis.people, analysis.found, analysis.unmatched) == (3, 3, 0)


def test_the_better_detection_takes_the_person_and_the_other_is_unmatched() -> None:
    truth = [person(1, pose(0, 0))]
    off = pose(10, 0)
    analysis = analyse({"annotations": truth}, [found(1, off, 0.5), found(1, pose(0, 0), 0.9)], SKELETON)
    assert analysis.counts[:, 0].sum() == JOINTS
    assert analysis.unmatched == 1


def test_who_does_not_count_is_left_out() -> None:
    unlabelled = pose(0, 0)
    unlabelled[:, 2] = 0
    half = pose(0, 0)
    half[6:, 2] = 0
    truth = [person(1, pose(0, 0), iscrowd=1), person(2, unlabelled), person(3, half)]
    detections = [found(3, pose(0, 0)), found(9, pose(0, 0))]
    analysis = analyse({"annotations": truth}, detections, SKELETON)
    assert (analysis.people, analysis.found, analysis.unmatched) == (1, 1, 1)
    assert analysis.counts.sum(axis=1).tolist() == [1] * 6 + [0] * 8
    assert analysis.shares()[7].tolist() == [0.0] * 5


def test_only_twenty_detections_of_an_image_count() -> None:
    detections = [found(1, pose(900, 900), 0.1 + 0.01 * index) for index in range(30)]
    analysis = analyse({"annotations": [person(1, pose(0, 0))]}, detections, SKELETON)
    assert (analysis.found, analysis.unmatched) == (0, 20)


def test_nothing_at_all() -> None:
    analysis = analyse({"annotations": []}, [], SKELETON)
    assert (analysis.counts.sum(), analysis.people, analysis.found, analysis.unmatched) == (0, 0, 0, 0)
