"""A small annotated data set, for tests to change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from supernet.data import DataOptions, open_dataset
from supernet.data.dataset import PoseDataset
from supernet.pose import Skeleton

CROWDPOSE = Skeleton.load("crowdpose")
WIDTH, HEIGHT = 96, 80


def person(
    number: int, image: int, names: tuple[str, ...] = CROWDPOSE.joints, **changes: Any
) -> dict[str, Any]:
    """Joint j of CrowdPose at (20 + 2 j, 10 + 3 j), in the order of `names`."""
    places = {joint: [20 + 2 * j, 10 + 3 * j, 2] for j, joint in enumerate(CROWDPOSE.joints)}
    keypoints = [value for name in names for value in places[name]]
    box = [20.0, 10.0, 26.0, 39.0]
    base = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": 12}
    return {**base, "keypoints": keypoints, "bbox": box, **changes}


def document(names: tuple[str, ...] | list[str] | None = CROWDPOSE.joints, images: int = 3) -> dict[str, Any]:
    category: dict[str, Any] = {
        "id": 1,
        "name": "person",
        **({} if names is None else {"keypoints": list(names)}),
    }
    listed = [
        {"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in range(1, images + 1)
    ]
    return {
        "images": listed,
        "annotations": [person(10 * i, i) for i in range(1, images + 1)],
        "categories": [category],
    }


def write(
    root: Path, found: dict[str, Any], folder: str = "images", file: str = "json/crowdpose_train.json"
) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(1, 1 + len(found["images"])):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(root / folder / f"{number}.png"), pixels)
    (root / file).write_text(json.dumps(found))


def opened(root: Path, **settings: Any) -> PoseDataset:
    return open_dataset(DataOptions(root=str(root), **settings), "train")
