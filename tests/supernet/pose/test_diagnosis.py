"""Error kinds: one joint of each kind made on purpose; what mending gains; table, JSON and picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pose_cases
import pytest

from supernet.pose import Skeleton, diagnose, plot_diagnosis, score
from supernet.pose.diagnosis import JOINT_TYPES

CROWDPOSE = Skeleton.load("crowdpose")


def two_people() -> tuple[dict[str, Any], np.ndarray]:
    """Poses on a wide grid: no joint is near another one."""
    joints = np.arange(14)
    poses = np.ones((2, 14, 3))
    poses[:, :, 0] = 40 * (joints % 4) + 10
    poses[:, :, 1] = 50 * (joints // 4) + 10
    poses[1, :, 0] += 300
    records = [
        {
            "id": number + 1,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": 12,
            "keypoints": pose.ravel().tolist(),
            "bbox": [pose[0, 0], pose[0, 1], 140, 190],
        }
        for number, pose in enumerate(poses)
    ]
    images = [{"id": 1, "crowdIndex": 0.1}]
    return {"images": images, "annotations": records, "categories": [{"id": 1, "name": "person"}]}, poses


def detection(pose: np.ndarray, value: float) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "keypoints": pose.ravel().tolist(), "score": value}


def kinds(truth: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    return {
        joint: {kind: int(count) for kind, count in zip(JOINT_TYPES, counts, strict=True) if count}
        for joint, counts in zip(CROWDPOSE.joints, diagnose(truth, found).counts, strict=True)
    }


def test_one_error_of_each_kind() -> None:
    truth, poses = two_people()
    scale = np.sqrt(0.53 * 140 * 190)
    pose = poses[0].copy()
    pose[0, :2] = poses[0, 1, :2]  # left shoulder on the right one
    pose[2, :2] = poses[1, 2, :2]  # elbow on the other person's
    pose[3, :2] = poses[1, 2, :2]  # elbow on the other person's other elbow
    pose[4, :2] = (500, 700)  # nowhere
    pose[12, 0] += 2 * 0.079 * scale * np.sqrt(2 * np.log(1 / 0.7))  # similarity 0.7
    pose[13, 0] += 2 * 0.079 * scale * np.sqrt(2 * np.log(1 / 0.9))  # similarity 0.9
    found = kinds(truth, [detection(pose, 0.9)])
    assert found["left_shoulder"] == {"inversion": 1}
    assert found["left_elbow"] == found["right_elbow"] == {"swap": 1}
    assert found["left_wrist"] == {"miss": 1}
    assert found["head"] == {"jitter": 1}
    assert found["neck"] == found["right_shoulder"] == {"good": 1}
    diagnosis = diagnose(truth, [detection(pose, 0.9)])
    assert dict(zip(CROWDPOSE.joints, diagnosis.similarity, strict=True))["head"] == pytest.approx(0.7)
    assert (diagnosis.people, diagnosis.matched, diagnosis.background) == (2, 1, 0)


def test_joints_nobody_labelled_do_not_count() -> None:
    truth, poses = two_people()
    truth["annotations"][0]["keypoints"][2::3] = [0] * 3 + [1] * 11
    found = kinds(truth, [detection(poses[0], 0.9)])
    assert found["left_shoulder"] == found["right_shoulder"] == found["left_elbow"] == {}
    assert found["right_elbow"] == {"good": 1}


def test_scores_background_and_what_mending_gains() -> None:
    truth, poses = two_people()
    shifted = poses[0] + (14, 0, 0)
    lost = poses[0] + (0, 2000, 0)
    found = [
        detection(lost, 0.95),
        detection(shifted, 0.9),
        detection(poses[0], 0.5),
        detection(poses[1], 0.4),
    ]
    diagnosis = diagnose(truth, found)
    assert (diagnosis.background, diagnosis.misordered, diagnosis.matched) == (1, 1, 2)
    assert diagnosis.metrics["as it is"] == score(truth, found)["AP"]
    assert diagnosis.metrics["score"] == 1
    assert diagnosis.metrics["background"] > diagnosis.metrics["as it is"]
    assert diagnosis.metrics["miss"] == diagnosis.metrics["as it is"]
    moved = diagnose(truth, [detection(shifted, 0.9), detection(poses[1], 0.4)]).metrics
    assert moved["jitter"] == 1 > moved["score"] > moved["as it is"] == moved["swap"]


def test_random_sets_add_up() -> None:
    rng = np.random.default_rng(0)
    truth = pose_cases.annotations(rng, CROWDPOSE)
    found = pose_cases.detections(rng, truth)
    diagnosis = diagnose(truth, found)
    assert diagnosis.metrics["as it is"] == score(truth, found)["AP"]
    assert 0 < diagnosis.matched <= diagnosis.people
    assert (diagnosis.counts.sum(axis=1) <= diagnosis.matched).all()
    perfect = [
        {"image_id": r["image_id"], "keypoints": r["keypoints"], "score": 1.0}
        for r in truth["annotations"]
        if r["num_keypoints"] and not r["iscrowd"]
    ]
    flawless = diagnose(truth, perfect)
    assert flawless.matched == flawless.people
    assert flawless.counts[:, 1:].sum() == 0
    nothing = diagnose(truth, [])
    assert nothing.counts.sum() == nothing.matched == 0
    assert np.isnan(nothing.similarity).all()


def test_table_json_and_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = pose_cases.annotations(rng, CROWDPOSE)
    diagnosis = diagnose(truth, pose_cases.detections(rng, truth))
    lines = diagnosis.table().splitlines()
    assert lines[0].startswith(
        "| joint | labelled | similarity | good % | jitter % | inversion % | swap % | miss %"
    )
    assert len([line for line in lines if line.startswith("| left_")]) == 6
    assert any(line.startswith("| as it is | ") for line in lines)
    assert json.loads(json.dumps(diagnosis.to_dict()))["metrics"] == diagnosis.metrics
    assert json.dumps(diagnose(truth, []).to_dict())
    plot_diagnosis(diagnosis, tmp_path / "errors.png", "detector")
    assert cv2.imread(str(tmp_path / "errors.png")).std() > 10
    assert [path.name for path in tmp_path.iterdir()] == ["errors.png"]
