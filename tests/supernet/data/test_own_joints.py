"""Joints that are neither CrowdPose's nor COCO's: read in either layout, scored by that layout's protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from supernet.data.opening import open_dataset
from supernet.data.options import DataOptions
from supernet.pose.protocols import score
from supernet.pose.skeletons import Skeleton

TONGS = Skeleton.from_dict(
    {
        "name": "tongs",
        "joints": ["hinge", "left_tip", "right_tip"],
        "sigmas": [0.08, 0.08, 0.08],
        "edges": [["hinge", "left_tip"], ["hinge", "right_tip"]],
    }
)
FILES = {
    "crowdpose": ("json/crowdpose_val.json", "images"),
    "coco": ("annotations/person_keypoints_val.json", "val"),
}


def write(root: Path, layout: str) -> DataOptions:
    """Two images with one and two tongs; the second annotation has an unlabelled joint."""
    annotations, images = root / FILES[layout][0], root / FILES[layout][1]
    for folder in (annotations.parent, images):
        folder.mkdir(parents=True)
    for name in ("1.png", "2.png"):
        cv2.imwrite(str(images / name), np.zeros((64, 96, 3), np.uint8))
    people = [
        (1, [10, 10, 2, 40, 10, 2, 40, 30, 2]),
        (2, [60, 20, 2, 90, 20, 2, 0, 0, 0]),
        (2, [10, 50, 2, 30, 60, 2, 30, 40, 2]),
    ]
    entries = [
        {
            "id": i,
            "image_id": image,
            "category_id": 1,
            "keypoints": keypoints,
            "bbox": [10, 10, 40, 40],
            "area": 800.0,
        }
        for i, (image, keypoints) in enumerate(people, start=1)
    ]
    document: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 96, "height": 64} for i in (1, 2)],
        "annotations": entries,
        "categories": [{"id": 1, "name": "tongs", "keypoints": list(TONGS.joints)}],
    }
    annotations.write_text(json.dumps(document))
    (root / "tongs.yaml").write_text(json.dumps(TONGS.to_dict()))  # JSON is YAML
    return DataOptions(root=str(root), layout=layout, skeleton=str(root / "tongs.yaml"))


@pytest.mark.parametrize(("layout", "metric"), [("crowdpose", "AP_easy"), ("coco", "AP_medium")])
def test_the_layout_gives_the_protocol(tmp_path: Path, layout: str, metric: str) -> None:
    options = write(tmp_path, layout)
    dataset = open_dataset(options, "val")
    assert (dataset.protocol, dataset.skeleton) == (layout, TONGS)
    truth = dataset.ground_truth()
    assert [entry["num_keypoints"] for entry in truth["annotations"]] == [3, 2, 3]
    perfect = [
        {"image_id": a["image_id"], "category_id": 1, "keypoints": a["keypoints"], "score": 0.5}
        for a in truth["annotations"]
    ]
    stats = score(truth, perfect, dataset.protocol, skeleton=dataset.skeleton)
    assert metric in stats
    assert stats["AP"] == 1
    # Left for right in the first image: one of three is wrong.
    first = perfect[0]["keypoints"]
    swapped = [{**perfect[0], "keypoints": first[:3] + first[6:] + first[3:6], "score": 0.4}, *perfect[1:]]
    assert score(truth, swapped, dataset.protocol, skeleton=dataset.skeleton)["AR"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("layout", FILES)
def test_known_joints_keep_their_protocol(crowdpose_root: Path, coco_root: Path, layout: str) -> None:
    root = {"crowdpose": crowdpose_root, "coco": coco_root}[layout]
    options = DataOptions(root=str(root), layout=layout, skeleton=layout)
    assert open_dataset(options, "val2017" if layout == "coco" else "val").protocol == layout
