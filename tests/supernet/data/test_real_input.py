"""Joints, sides, geometry and people as files have them: read rightly, or refused with what to do."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import CROWDPOSE, document, opened, person, write

from supernet.data import AugmentOptions, Loader, LoaderOptions, audit
from supernet.data.annotations.records import Record, nonsense
from supernet.errors import InputError
from supernet.pose import Skeleton, score

REVERSED = tuple(reversed(CROWDPOSE.joints))


@pytest.mark.parametrize("spelt", [str, str.upper, lambda name: name.replace("_", " ").title()])
def test_joints_in_another_order_are_put_in_order(tmp_path: Path, spelt: Any, caplog: Any) -> None:
    found = document([spelt(name) for name in REVERSED])
    found["annotations"] = [person(10, 1, REVERSED)]
    write(tmp_path, found)
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path)
    assert dataset.records[0].keypoints[0].ravel().tolist() == person(1, 1)["keypoints"]
    assert "another order" in caplog.text


@pytest.mark.parametrize("first", ["head_top", "pelvis", "left elbow"])
def test_other_joints_are_refused_with_both_lists(tmp_path: Path, first: str) -> None:
    write(tmp_path, document([first, *CROWDPOSE.joints[1:]]))
    with pytest.raises(InputError) as caught:
        opened(tmp_path)
    assert first in str(caught.value)
    assert "left_shoulder" in str(caught.value)


@pytest.mark.parametrize("names", [None, [], [str(i) for i in range(14)]])
def test_joints_without_names_are_taken_as_they_come(tmp_path: Path, names: Any) -> None:
    write(tmp_path, document(names))
    assert len(opened(tmp_path)) == 3


@pytest.mark.parametrize(
    ("joints", "flip"),
    [
        (["Left Hip", "Right Hip", "Head"], (1, 0, 2)),
        (["HIP_LEFT", "HIP_RIGHT", "upright"], None),
        (["leftHip", "rightHip", "leftKnee", "rightKnee"], (1, 0, 3, 2)),
        (["lefthip", "righthip", "nose"], (1, 0, 2)),
        (["hipleft", "nose", "hipright"], (2, 1, 0)),
        (["l_hip", "r_hip", "root"], (1, 0, 2)),
        (["HipL", "HipR", "Neck"], (1, 0, 2)),
        (["lhip", "rhip", "lknee", "rknee", "root"], (1, 0, 3, 2, 4)),
        (["left", "right"], (1, 0)),
        (["tail"], (0,)),
        (["left_wrist"], None),
        (["left_hip", "left_knee", "right_hip"], None),
        (["p1", "p2", "p3"], None),
        (["left_eye", "right_eye", "hip_lt", "hip_rt", "nose"], None),
        (["left_eye", "right_eye", "toe1", "toe2"], None),
        (["left_eye", "right_eye", "toeA", "toeB"], None),
        (["left_eye", "right_eye", "FL_paw", "FR_paw"], None),
        (["left_eye", "right_eye", "pawfl", "pawfr"], None),
        (["left_eye", "right_eye", "hand gauche", "hand droite"], None),
        (["left_eye", "right_eye", "links_hip", "rechts_hip"], None),
        (
            ["left_eye", "right_eye", "head_top", "head", "nose", "neck_base", "neck_end"],
            (1, 0, 2, 3, 4, 5, 6),
        ),
    ],
)
def test_mirror_pairs_by_name(joints: list[str], flip: tuple[int, ...] | None) -> None:
    skeleton = Skeleton.from_dict({"joints": joints, "sigmas": [0.1] * len(joints)})
    assert skeleton.mirrors == (flip is not None)
    assert flip is None or skeleton.flip == flip
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton
    for joint, other in enumerate(skeleton.flip):  # drawing goes by the same rule
        assert (skeleton.side(joint) == "middle") == (other == joint)


def test_the_pairs_taken_are_told(tmp_path: Path, caplog: Any) -> None:
    write(tmp_path, document(["left_eye", "right_eye", "nose"]) | {"annotations": []}, "images")
    own = {"joints": ["left_eye", "right_eye", "nose"], "sigmas": [0.1] * 3}
    (tmp_path / "own.yaml").write_text(json.dumps(own))
    with caplog.at_level(logging.INFO):
        opened(tmp_path, skeleton=str(tmp_path / "own.yaml"))
    assert "left_eye and right_eye change places" in caplog.text


def test_what_cannot_be_mirrored_is_not(tmp_path: Path, caplog: Any) -> None:
    joints = [f"p{i}" for i in range(14)]
    skeleton = Skeleton.from_dict({"joints": joints, "sigmas": [0.1] * 14})
    write(tmp_path, document(None), "train", "annotations/train.json")
    (tmp_path / "own.yaml").write_text(json.dumps({"joints": joints, "sigmas": [0.1] * 14}))
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path, layout="coco", skeleton=str(tmp_path / "own.yaml"))
    assert dataset.skeleton.joints == skeleton.joints
    assert "not mirrored" in caplog.text
    always = AugmentOptions(rotation=0, scale=(1, 1), translation=0, flip=1.0)
    options = LoaderOptions(batch_size=3)
    turned = Loader(dataset, options, [64], augment=always)
    plain = Loader(dataset, options, [64], augment=AugmentOptions.none())
    assert (turned.batch(0).images == plain.batch(0).images).all()


NONSENSE = {
    "size 0": {"bbox": [0, 0, 0, 0], "area": 0},
    "fractions": {"keypoints": [0.3, 0.4, 2] * 14, "bbox": [0.2, 0.2, 0.4, 0.4]},
    "exactly (0, 0)": {"keypoints": [0, 0, 2] * 2 + [20.0, 20.0, 2] * 11 + [30.0, 40.0, 2], "bbox": None},
    "outside of their picture": {"keypoints": [120.0, 20.0, 2] * 14, "bbox": [110.0, 10.0, 20.0, 20.0]},
    "outside of their person's box": {"bbox": [60.0, 60.0, 10.0, 10.0]},
}


@pytest.mark.parametrize(
    ("told", "box", "scale"),
    [
        ("two corners", [320, 200, 380, 320], (12.0, 8.0)),
        ("percentages", [10, 10, 80, 80], (1.0, 1.0)),
        (None, [320, 200, 60, 120], (12.0, 8.0)),
    ],
)
def test_corners_and_percentages_are_named(
    told: str | None, box: list[float], scale: tuple[float, float]
) -> None:
    keypoints = np.array([[[27 + i % 4, 26 + i, 2] for i in range(14)]], float) * (*scale, 1)
    if told != "percentages":
        keypoints[..., :2] = keypoints[..., :2] % 50 + (325, 210)
    few = np.zeros(1, np.int64)
    areas = np.full(1, np.nan)
    boxes = np.array([box], float)
    records = [
        Record(i, "1.jpg", 640, 480, np.nan, keypoints, boxes, few, few > 0, areas, few) for i in (1, 2)
    ]
    found = nonsense(records)
    assert len(found) == (told is not None)
    assert told is None or told in found[0]


@pytest.mark.parametrize("told", NONSENSE)
@pytest.mark.parametrize("people", [1, 3])
def test_nonsense_geometry_is_named(tmp_path: Path, told: str, people: int, caplog: Any) -> None:
    found = document()
    found["annotations"][:people] = [person(10 * i, i, **NONSENSE[told]) for i in range(1, people + 1)]
    write(tmp_path, found)
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path)
    assert told in caplog.text
    assert told in audit(dataset, tmp_path / "audit").summary()


@pytest.mark.parametrize(
    ("areas", "told"),
    [
        ([0.2, 0.2, 0.2], "below"),
        ([700, 0, 700], "below"),
        ([25, 700, 700], None),
        ([9000] * 3, "over"),
        ([9000, 700, 700], None),
    ],
)
def test_areas_that_are_not_those_of_the_boxes_are_named(areas: list[float], told: str | None) -> None:
    keypoints = 20.0 + np.arange(3).repeat(14 * 3).reshape(3, 14, 3)
    boxes, ids = np.array([[10, 10, 25, 40]] * 3, float), np.arange(3)
    found = Record(
        1, "1.jpg", 80, 60, np.nan, keypoints, boxes, ids + 9, ids < 0, np.array(areas, float), ids
    )
    assert [f"an area {told}" in line for line in nonsense([found], ["area"])] == [True] * (told is not None)
    assert nonsense([found]) == [], "nothing is scored by it"
    # Merged exports have everybody twice, under other ids.
    twice = dataclasses.replace(found, keypoints=keypoints[[0, 1, 0]])
    assert nonsense([twice]) == ["1 of 3 people are in their picture once more, joint for joint"]
    assert nonsense([found, found]) == [], "other pictures may show the same"


def test_a_box_of_size_0_is_nobody_to_find(tmp_path: Path) -> None:
    found = document()
    found["annotations"] = [person(1, 1), person(2, 2, bbox=[0, 0, 0, 0]), person(3, 3, bbox=[5, 5, 0, 40])]
    write(tmp_path, found)
    dataset = opened(tmp_path)
    assert dataset.num_scored() == 1
    hit = [{"image_id": 1, "keypoints": person(1, 1)["keypoints"], "score": 0.9}]
    assert score(dataset.ground_truth(), hit)["AR"] == 1


@pytest.mark.parametrize("layout", ["crowdpose", "coco"])
@pytest.mark.parametrize("tool", ["a box of the joint", "no box", "rounded"])
def test_a_joint_alone_gets_a_box_to_score_by(tmp_path: Path, layout: str, tool: str, caplog: Any) -> None:
    found = document(["nose"])
    boxes = {"a box of the joint": [30.5, 20.25, 0.0, 0.0], "no box": None, "rounded": [30, 20, 1, 0]}
    found["annotations"] = [
        person(i, i, keypoints=[30.5, 20.25, 2], num_keypoints=1, area=0.0, bbox=boxes[tool])
        for i in (1, 2, 3)
    ]
    write(tmp_path, found, "train" if layout == "coco" else "images", "json/crowdpose_train.json")
    if layout == "coco":
        (tmp_path / "json/crowdpose_train.json").rename(tmp_path / "train.json")
    (tmp_path / "one.yaml").write_text("{joints: [nose], sigmas: [0.1], name: one}")
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path, layout=layout, skeleton=str(tmp_path / "one.yaml"), protocol=layout)
    assert "joints of 3 people lie on one spot" in caplog.text
    assert "size 0" not in caplog.text
    assert dataset.records[0].boxes[0].tolist() == [26.5, 16.25, 8, 8]
    assert dataset.num_scored() == 3
    for off, ap in ((0, 1), (20, 0)):
        hits = [{"image_id": i, "keypoints": [30.5 + off, 20.25, 1], "score": 0.9} for i in (1, 2, 3)]
        assert score(dataset.ground_truth(), hits, layout, skeleton=dataset.skeleton)["AP"] == ap


def test_joints_almost_on_a_line_get_a_box_to_score_by(tmp_path: Path) -> None:
    found = document(["left_hip", "right_hip"], images=1)
    joints = [30.0, 20.0, 2, 50.0, 20.4, 2]
    found["annotations"] = [person(1, 1, keypoints=joints, num_keypoints=2, area=8.0 * 0.04, bbox=None)]
    write(tmp_path, found)
    (tmp_path / "two.yaml").write_text("{joints: [left_hip, right_hip], sigmas: [0.1, 0.1], name: two}")
    record = opened(tmp_path, skeleton=str(tmp_path / "two.yaml")).records[0]
    np.testing.assert_allclose(record.boxes[0], [30, 16.2, 20, 8])
    assert np.isnan(record.areas[0])


@pytest.mark.parametrize(
    "change",
    [
        {"iscrowd": 1},
        {"num_keypoints": 0},
        {"bbox": [3, 3, 0, 0]},
        {"keypoints": [0] * 42},
        {"keypoints": [20.0, 20.0, 0] * 14, "num_keypoints": 14},
    ],
)
def test_a_split_where_nobody_counts_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    found = document()
    found["annotations"] = [person(i, i, **change) for i in range(1, 4)]
    if "keypoints" in change and "num_keypoints" not in change:
        for entry in found["annotations"]:
            del entry["num_keypoints"]
    write(tmp_path, found)
    dataset = opened(tmp_path)
    with pytest.raises(InputError, match="nobody to score"):
        dataset.require_people()
    assert "nobody here counts" in audit(dataset, tmp_path / "audit").summary()


@pytest.mark.parametrize("lacking", [1, 3])
def test_an_area_that_is_not_there_is_derived_and_said(tmp_path: Path, lacking: int, caplog: Any) -> None:
    found = document()
    for entry in found["annotations"][lacking:]:
        entry["area"] = 700.0
    if lacking == 1:  # else the one that has none would be at fault
        found["annotations"] += [person(50 + i, 1) for i in range(3)]
    write(tmp_path, found, "train", "annotations/train.json")
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path, layout="coco", skeleton="crowdpose", protocol="coco")
    assert "have no area" in caplog.text
    assert dataset.records[0].areas[0] == pytest.approx(0.53 * 26 * 39)
    assert dataset.num_scored() == len(found["annotations"])
