"""`poses=FILE`: real groups from CrowdPose and COCO files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supernet.data.opening import load_crowdpose
from supernet.data.synthetic.body import Joint, Shape, build_body
from supernet.data.synthetic.crowds import (
    coco_to_crowdpose,
    facing,
    lift_person,
    load_crowds,
    mirror,
    pick_crowd,
    stature,
)
from supernet.data.synthetic.dataset import SyntheticOptions, ensure
from supernet.data.synthetic.poses import sample_pose
from supernet.errors import InputError
from supernet.pose.protocols import crowd_index
from supernet.pose.skeletons import Skeleton

OPTIONS = SyntheticOptions(train=6, val=2, test=2, size=96, workers=1)


def annotation(identity: int, image: int, joints: np.ndarray[Any, Any], counted: int) -> dict[str, Any]:
    labelled = joints[joints[:, 2] > 0, :2]
    low = labelled.min(0) if len(labelled) else np.zeros(2)
    high = labelled.max(0) if len(labelled) else np.ones(2)
    return {
        "id": identity,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [int(v) for v in joints.ravel()],
        "num_keypoints": int((joints[:counted, 2] > 0).sum()),
        "bbox": [float(v) for v in (*low, *(high - low + 1))],
    }


def document(joint_count: int, images: int = 5) -> dict[str, Any]:
    """Groups of three, 300x200, with some joints missing; made with the toolkit's own bodies."""
    rng = np.random.default_rng(0)
    layout = Skeleton.load("crowdpose" if joint_count == 14 else "coco")
    out: dict[str, Any] = {"images": [], "annotations": [], "categories": []}
    out["categories"] = [{"id": 1, "name": "person", "keypoints": list(layout.joints), "skeleton": []}]
    for image in range(1, images + 1):
        out["images"].append({"id": image, "file_name": f"{image}.jpg", "width": 300, "height": 200})
        for number in range(3):
            body = build_body(sample_pose(rng), Shape(), rng.uniform(-180, 180)).joints[:, :2]
            xy = np.clip(body * 150 + (60 + 60 * number, 100), 0, (299, 199))
            if joint_count == 17:
                face = xy[Joint.HEAD] + np.array([[0, 8], [3, 5], [-3, 5], [6, 7], [-6, 7]])
                xy = np.concatenate([face, xy[:12]])
            joints = np.column_stack([np.rint(xy), rng.choice([0, 1, 2], joint_count, p=[0.1, 0.2, 0.7])])
            joints[joints[:, 2] == 0] = 0
            out["annotations"].append(
                annotation(10 * image + number, image, joints, 12 if joint_count == 14 else 17)
            )
    return out


@pytest.fixture(params=[14, 17])
def poses(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"poses{request.param}.json"
    path.write_text(json.dumps(document(request.param)))
    return path


def test_a_set_from_a_file_keeps_groups_and_unlabelled_joints(poses: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, poses=str(poses))
    root = ensure(tmp_path / "set", options)
    crowds = load_crowds(str(poses))
    for split in ("train", "val", "test"):
        written = load_crowdpose(root, split)
        for index, record in enumerate(written.records):
            crowd, mirrored = pick_crowd(options, crowds, split, index)
            source = mirror(crowd) if mirrored else crowd
            assert record.num_people == 3
            assert record.width / record.height == pytest.approx(1.5, rel=0.02)
            labels = sorted((k[:, 2] > 0).tolist() for k in record.keypoints)
            assert labels == sorted((k[:, 2] > 0).tolist() for k in source.joints)
            scale = record.width / source.width
            wanted = np.sort(source.joints[..., 0][source.joints[..., 2] > 0] * scale)
            found = np.sort(record.keypoints[..., 0][record.keypoints[..., 2] > 0])
            assert np.abs(found - wanted).max() <= 1.0


def test_no_group_serves_two_splits_and_more_images_come_mirrored(poses: Path) -> None:
    crowds = load_crowds(str(poses))
    used: dict[str, set[int]] = {}
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        picks = [pick_crowd(OPTIONS, crowds, split, index) for index in range(count)]
        used[split] = {id(crowd) for crowd, _ in picks}
    assert sum(len(ids) for ids in used.values()) == len(set.union(*used.values())) == len(crowds)
    assert [pick_crowd(OPTIONS, crowds, "val", i)[1] for i in range(4)] == [False, True, False, True]


def test_crowd_index_survives_mirroring(tmp_path: Path) -> None:
    path = tmp_path / "poses.json"
    path.write_text(json.dumps(document(14)))
    crowd = load_crowds(str(path))[0]

    def index(one: Any) -> float:
        people = [annotation(0, 0, joints, 12) for joints in one.joints]
        for person, box in zip(people, one.boxes, strict=True):
            person["bbox"] = list(box)
        return crowd_index(people)

    assert index(mirror(crowd)) == index(crowd) > 0
    again = mirror(mirror(crowd))
    assert np.array_equal(again.joints, crowd.joints)
    assert again.boxes == pytest.approx(crowd.boxes)


def test_coco_limbs_are_kept_and_head_and_neck_derived() -> None:
    coco = np.zeros((17, 3))
    coco[5:] = [(i, 100 + i, 2) for i in range(12)]
    coco[5], coco[6] = (110, 100, 2), (90, 100, 1)
    coco[0] = (100, 80, 2)
    out = coco_to_crowdpose(coco)
    assert np.array_equal(out[:12], coco[5:])
    assert out[Joint.NECK] == pytest.approx([100, 97, 1])
    assert out[Joint.HEAD] == pytest.approx([100, 97 - 1.7 * 17, 2])
    coco[0] = 0
    assert coco_to_crowdpose(coco)[Joint.HEAD, 2] == 0
    assert coco_to_crowdpose(coco)[Joint.NECK] == pytest.approx([100, 100, 1])
    coco[6] = 0
    assert coco_to_crowdpose(coco)[Joint.NECK, 2] == 0


@pytest.mark.parametrize(("yaw", "sign"), [(0.0, 1.0), (180.0, -1.0), (25.0, 1.0), (-150.0, -1.0)])
def test_lifting_tells_front_from_back(yaw: float, sign: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        flat = build_body(sample_pose(rng), Shape(), yaw).joints * 200
        flat[:, 2] = 2
        known = np.ones(14, bool)
        cosine = facing(rng, flat, known, 200.0)[1]
        assert np.sign(cosine) == sign
        figure = lift_person(rng, flat, (0.0, 0.0, 1.0, 1.0))
        assert np.sign(figure.forward[2]) == sign
        assert np.linalg.norm(figure.forward) == pytest.approx(1)


def test_stature_comes_from_the_longest_limbs_or_the_box() -> None:
    flat = build_body(sample_pose(np.random.default_rng(1)), Shape(), 20.0).joints * 200
    known = np.ones(14, bool)
    assert stature(flat, known, (0, 0, 1, 1)) == pytest.approx(200, rel=0.15)
    assert stature(flat, np.arange(14) == 3, (10, 10, 30, 90)) == 80


def test_bad_files_are_one_clear_line(tmp_path: Path) -> None:
    good = document(14)
    lone = document(14, images=2)
    short = document(14)
    short["annotations"][0]["keypoints"] = [0] * 30
    cases = {
        "missing.json": (None, "does not exist|cannot be read"),
        "truncated.json": (json.dumps(good)[:500], "not valid JSON"),
        "boxes.json": (json.dumps({"images": [], "categories": []}), "no list 'annotations'"),
        "few.json": (json.dumps(lone), "has 2 images with labelled people"),
        "mixed.json": (json.dumps(short), "10, 14 joints per person"),
    }
    for name, (text, message) in cases.items():
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(InputError, match=message):
            ensure(tmp_path / f"{name}-set", dataclasses.replace(OPTIONS, poses=str(path)))
        assert not (tmp_path / f"{name}-set").exists()


def test_the_files_content_counts_not_its_place(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps(document(14)))
    second.write_text(first.read_text())
    root = ensure(tmp_path / "set", dataclasses.replace(OPTIONS, poses=str(first)))
    assert ensure(root, dataclasses.replace(OPTIONS, poses=str(second))) == root
    second.write_text(json.dumps(document(14, images=6)))
    with pytest.raises(InputError, match="was made with poses="):
        ensure(root, dataclasses.replace(OPTIONS, poses=str(second)))


def test_real_crowds_keep_their_crowd_index(shared: Path, tmp_path: Path) -> None:
    file = shared / "data" / "crowdpose" / "json" / "crowdpose_val.json"
    if not file.is_file():
        pytest.skip("CrowdPose's val annotations are absent")
    options = SyntheticOptions(train=120, val=30, test=30, size=64, poses=str(file), workers=1)
    root = ensure(tmp_path / "set", options)
    crowds = load_crowds(str(file))
    assert len(crowds) > 1900
    indices = []
    for split in ("train", "val", "test"):
        indices += [record.crowd_index for record in load_crowdpose(root, split).records]
    document_ = json.loads(file.read_text())
    wanted = np.array([image["crowdIndex"] for image in document_["images"]])
    found = np.array(indices)
    for low, high in ((-1, 0.2), (0.2, 0.8), (0.8, 99)):
        share = ((found >= low) & (found < high)).mean()
        assert share == pytest.approx(((wanted >= low) & (wanted < high)).mean(), abs=0.13)
