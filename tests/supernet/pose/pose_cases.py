"""Small random annotation sets, detections and maps for the pose tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from supernet.pose import Skeleton


def annotations(
    rng: np.random.Generator, skeleton: Skeleton, images: int = 12, most: int = 6
) -> dict[str, Any]:
    """COCO-form ground truth: crowds, unlabelled people, images without people."""
    listed, records = [], []
    for image in range(images):
        listed.append(
            {"id": 10 * image + 3, "width": 400, "height": 300, "crowdIndex": round(rng.random(), 2)}
        )
        for _ in range(int(rng.integers(0, most + 1))):
            corner, side = rng.uniform(0, 200, 2), rng.uniform(15, 150, 2)
            pose = np.zeros((skeleton.num_joints, 3))
            pose[:, :2] = np.round(corner + side * rng.random((skeleton.num_joints, 2)))
            pose[:, 2] = rng.choice([0, 1, 2], skeleton.num_joints, p=[0.3, 0.3, 0.4])
            if rng.random() < 0.1:
                pose[:, 2] = 0
            pose[pose[:, 2] == 0] = 0
            records.append(
                {
                    "id": 100 + len(records),
                    "image_id": listed[-1]["id"],
                    "category_id": 1,
                    "iscrowd": int(rng.random() < 0.08),
                    "keypoints": pose.ravel().tolist(),
                    "num_keypoints": int((pose[:, 2] > 0).sum()),
                    "bbox": [*corner.tolist(), *side.tolist()],
                    "area": float(side.prod() * rng.uniform(0.4, 0.7)),
                }
            )
    return {"images": listed, "annotations": records, "categories": [{"id": 1, "name": "person"}]}


def detections(rng: np.random.Generator, truth: dict[str, Any], noise: float = 0.05) -> list[dict[str, Any]]:
    """Noisy copies of the people, duplicates, false ones, ties of score, more than 20 in one image."""
    found = []

    def add(image_id: int, pose: np.ndarray) -> None:
        keypoints = [float(value) for value in pose.ravel()]
        score = round(float(rng.random()), 1)
        found.append({"image_id": image_id, "category_id": 1, "keypoints": keypoints, "score": score})

    for record in truth["annotations"]:
        pose = np.array(record["keypoints"]).reshape(-1, 3)
        for _ in range(int(rng.integers(0, 3))):
            moved = pose + noise * rng.exponential() * np.sqrt(record["area"]) * rng.standard_normal(
                pose.shape
            )
            add(record["image_id"], moved)
    joints = len(truth["annotations"][0]["keypoints"]) // 3
    for image in truth["images"]:
        for _ in range(25 if image is truth["images"][0] else int(rng.integers(0, 3))):
            add(image["id"], np.c_[rng.uniform(0, 300, (joints, 2)), np.ones(joints)])
    return found
