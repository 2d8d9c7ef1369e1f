"""Small data sets written to disk: smooth pictures, random people, in the CrowdPose and the COCO layout."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from supernet.data.options import MixSource
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


def write_coco(root, split, skeleton, count, rng):
    """A split of `count` images in the COCO layout."""
    doc = document(rng, skeleton, count, 100)
    for entry in doc["annotations"]:
        entry["area"] = 0.5 * entry["bbox"][2] * entry["bbox"][3]
    write_images(root / split, doc, rng)
    write_json(root / "annotations" / f"person_keypoints_{split}.json", doc)


@pytest.fixture
def coco_root(tmp_path):
    """A folder in the COCO layout with a val2017 split of 6 images."""
    write_coco(tmp_path, "val2017", Skeleton.load("coco"), 6, np.random.default_rng(4))
    return tmp_path


MPII = """
joints: [r_ankle, r_knee, r_hip, l_hip, l_knee, l_ankle, pelvis, thorax, upper_neck, head_top, 
  r_wrist, r_elbow, r_shoulder, l_shoulder, l_elbow, l_wrist]
sigmas: [0.09, 0.09, 0.1, 0.1, 0.09, 0.09, 0.1, 0.08, 0.08, 0.08, 0.06, 0.07, 0.08, 0.08, 0.07, 0.06]
edges: [[upper_neck, head_top], [r_hip, pelvis]]
"""


@pytest.fixture
def sources(crowdpose_root, tmp_path):
    """For `data.sources`: CrowdPose, COCO, MPII's joints, with equal image ids; two pictures of nobody."""
    rng = np.random.default_rng(6)
    file = tmp_path / "mpii.yaml"
    file.write_text(MPII)
    for split, count in (("train", 6), ("val", 3)):
        write_coco(tmp_path / "coco", split, Skeleton.load("coco"), count, rng)
        write_coco(tmp_path / "mpii", split, Skeleton.load(file), count, rng)
    (tmp_path / "nobody").mkdir()
    for key in range(2):
        cv2.imwrite(str(tmp_path / f"nobody/{key}.png"), np.full((40, 60, 3), 90 + key, np.uint8))
    return {
        "crowd": MixSource(root=str(crowdpose_root)),
        "coco": MixSource(root=str(tmp_path / "coco"), layout="coco", skeleton="coco"),
        "mpii": MixSource(root=str(tmp_path / "mpii"), layout="coco", skeleton=str(file)),
        "nobody": MixSource(root=str(tmp_path / "nobody"), layout="empty", keep_empty=True, val_split=None),
    }


@pytest.fixture
def shared_crowdpose():
    """The real CrowdPose files that may lie beside the repository."""
    root = SHARED / "data" / "crowdpose"
    if not root.is_dir():
        pytest.skip("the real CrowdPose annotations are not there (../shared/data/crowdpose)")
    return root
