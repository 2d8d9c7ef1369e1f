"""Small data sets written to disk: smooth pictures, random people, in the CrowdPose and the COCO layout."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from supernet.pose.skeletons import Skeleton

SHARED = Path(__file__).parents[4] / "shared"


def picture(rng, width, height):
    """A smooth colour picture, so that JPEG keeps it nearly as it is."""
    coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def person(rng, num_joints, width, height, counted):
    """Keypoints (flat), box and count of one random person; about a sixth of the joints unlabelled."""
    centre = rng.uniform([0.2 * width, 0.2 * height], [0.8 * width, 0.8 * height])
    points = centre + rng.normal(0, 0.12 * height, (num_joints, 2))
    points = np.clip(points, 0, [width - 1, height - 1]).round()
    seen = rng.choice([0, 1, 2, 2, 2, 2], num_joints)
    points[seen == 0] = 0
    low, high = points[seen > 0].min(0, initial=width), points[seen > 0].max(0, initial=0)
    box = [*map(float, low), *map(float, np.maximum(high - low, 1))]
    flat = np.column_stack([points, seen]).astype(int).reshape(-1).tolist()
    return flat, box, int((seen[:counted] > 0).sum())


def document(rng, skeleton, count, first_id=100, sizes=((96, 80), (80, 96), (120, 64))):
    """An annotation document of `count` images with 0 to 3 people each (at least one in the first)."""
    category = {"id": 1, "name": "person", "keypoints": list(skeleton.joints), "skeleton": []}
    images, annotations = [], []
    counted = 12 if skeleton.name == "crowdpose" else skeleton.num_joints
    for image_id in range(first_id, first_id + count):
        width, height = sizes[image_id % len(sizes)]
        entry = {"id": image_id, "file_name": f"{image_id}.jpg", "width": width, "height": height}
        images.append({**entry, "crowdIndex": round(float(rng.uniform(0, 1)), 2)})
        for _ in range(max(int(rng.integers(0, 4)), image_id == first_id)):
            keypoints, box, num = person(rng, skeleton.num_joints, width, height, counted)
            annotations.append(
                {
                    "id": 10 * first_id + len(annotations),
                    "image_id": image_id,
                    "category_id": 1,
                    "iscrowd": 0,
                    "keypoints": keypoints,
                    "num_keypoints": num,
                    "bbox": box,
                }
            )
    return {"images": images, "annotations": annotations, "categories": [category]}


def write_images(folder, doc, rng):
    folder.mkdir(parents=True, exist_ok=True)
    for entry in doc["images"]:
        image = picture(rng, entry["width"], entry["height"])
        cv2.imwrite(str(folder / entry["file_name"]), image, [cv2.IMWRITE_JPEG_QUALITY, 95])


def write_json(path, doc):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(doc))


@pytest.fixture
def crowdpose_root(tmp_path):
    """A folder in the CrowdPose layout with a train split of 10 images and a val split of 5."""
    rng = np.random.default_rng(3)
    skeleton = Skeleton.load("crowdpose")
    for split, count, first_id in (("train", 10, 100), ("val", 5, 200)):
        doc = document(rng, skeleton, count, first_id)
        write_images(tmp_path / "images", doc, rng)
        write_json(tmp_path / "json" / f"crowdpose_{split}.json", doc)
    return tmp_path


@pytest.fixture
def coco_root(tmp_path):
    """A folder in the COCO layout with a val2017 split of 6 images."""
    rng = np.random.default_rng(4)
    doc = document(rng, Skeleton.load("coco"), 6, 100)
    for entry in doc["annotations"]:
        entry["area"] = 0.5 * entry["bbox"][2] * entry["bbox"][3]
    write_images(tmp_path / "val2017", doc, rng)
    write_json(tmp_path / "annotations" / "person_keypoints_val2017.json", doc)
    return tmp_path


@pytest.fixture
def shared_crowdpose():
    """The real CrowdPose files that may lie beside the repository."""
    root = SHARED / "data" / "crowdpose"
    if not root.is_dir():
        pytest.skip("the real CrowdPose annotations are not there (../shared/data/crowdpose)")
    return root
