"""Joint layouts: the built-in ones, YAML layouts, and one clear line for every wrong field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from supernet.errors import InputError
from supernet.pose import Skeleton

CROWDPOSE_FLIP = (1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13)

HAND = {
    "joints": ["wrist", "left_thumb", "right_thumb"],
    "flip": ["wrist", "right_thumb", "left_thumb"],
    "sigmas": [0.05, 0.02, 0.02],
    "edges": [["wrist", "left_thumb"], [0, 2]],
    "order": [0, "right_thumb", 1],
}


def test_crowdpose_layout() -> None:
    skeleton = Skeleton.load("crowdpose")
    assert skeleton.num_joints == 14
    assert skeleton.joints[:4] == ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
    assert skeleton.joints[12:] == ("head", "neck")
    assert skeleton.flip == CROWDPOSE_FLIP
    assert skeleton.sigmas[:8] == (0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107)
    assert skeleton.sigmas[8:] == (0.087, 0.087, 0.089, 0.089, 0.079, 0.079)
    assert len(skeleton.edges) == 15
    assert skeleton.order[:6] == (12, 13, 0, 1, 6, 7)
    assert [skeleton.side(joint) for joint in (0, 1, 12)] == ["left", "right", "middle"]


def test_crowdpose_names_equal_the_annotation_file(shared: Path) -> None:
    names = json.loads((shared / "data/crowdpose/json/crowdpose_val.json").read_text())["categories"][0][
        "keypoints"
    ]
    assert list(Skeleton.load("crowdpose").joints) == names


def test_coco_sigmas_equal_pycocotools() -> None:
    from pycocotools.cocoeval import Params

    skeleton = Skeleton.load("coco")
    assert skeleton.num_joints == 17
    assert list(skeleton.sigmas) == pytest.approx(list(Params("keypoints").kpt_oks_sigmas), abs=1e-15)
    for joint, mirror in enumerate(skeleton.flip):
        assert skeleton.joints[mirror] == skeleton.joints[joint].replace("left", "L").replace(
            "right", "left"
        ).replace("L", "right")


@pytest.mark.parametrize("name", ["crowdpose", "coco"])
def test_round_trip(name: str, tmp_path: Path) -> None:
    skeleton = Skeleton.load(name)
    (tmp_path / "layout.yaml").write_text(yaml.safe_dump(skeleton.to_dict()))
    assert Skeleton.load(tmp_path / "layout.yaml") == skeleton
    assert hash(Skeleton.from_dict(json.loads(json.dumps(skeleton.to_dict())))) == hash(skeleton)
    assert Skeleton.load(skeleton) is skeleton


def test_yaml_with_names_and_indices(tmp_path: Path) -> None:
    path = tmp_path / "hand.yaml"
    path.write_text(yaml.safe_dump(HAND))
    skeleton = Skeleton.load(path)
    assert skeleton.name == "hand"
    assert skeleton.flip == (0, 2, 1)
    assert skeleton.edges == ((0, 1), (0, 2))
    assert skeleton.order == (0, 2, 1)
    short = {key: HAND[key] for key in ("joints", "sigmas")}
    assert Skeleton.from_dict(short).flip == (0, 2, 1)
    assert Skeleton.from_dict(short).order == (0, 1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flip": [0, 1]}, "flip has 2 entries for 3 joints"),
        ({"flip": [1, 2, 0]}, "does not lead back"),
        ({"flip": [0, 2, 3]}, "indices run from 0 to 2"),
        ({"flip": [0, 2, True]}, "use joint names or indices"),
        ({"flip": "abc"}, "must be a list"),
        ({"sigmas": [0.1, 0.1]}, "sigmas has 2 entries"),
        ({"sigmas": [0.1, 0.1, -1]}, "positive numbers"),
        ({"sigmas": [0.1, 0.1, float("nan")]}, "positive numbers"),
        ({"sigmas": [0.1, 0.1, "x"]}, "positive numbers"),
        ({"sigmas": None}, "must be a list"),
        ({"edges": [[0, 0]]}, "joins a joint to itself"),
        ({"edges": [[0, 9]]}, "indices run from 0 to 2"),
        ({"edges": [[0, 1, 2]]}, "pair of joints"),
        ({"edges": [["wrist", "toe"]]}, "not among the joints"),
        ({"order": [0, 1, 1]}, "every joint once"),
        ({"order": [0, 1]}, "order has 2 entries"),
        ({"joints": ["a", "a", "b"], "flip": [0, 1, 2], "edges": [], "order": [0, 1, 2]}, "unique"),
        ({"joints": ["a", 3, "b"], "flip": [0, 1, 2], "edges": [], "order": [0, 1, 2]}, "non-empty names"),
        ({"joints": []}, "not among the joints"),
        ({"name": ""}, "non-empty string"),
        ({"colour": 1}, "unknown keys"),
        ({"schema": 9}, "schema 9"),
    ],
)
def test_wrong_fields_are_named(change: dict, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({**HAND, **change}))
    with pytest.raises(InputError, match=message) as caught:
        Skeleton.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2]", "", "joints: [a]", "{"])
def test_files_that_are_no_skeleton(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"wrong\.yaml"):
        Skeleton.load(path)


def test_unknown_names() -> None:
    with pytest.raises(InputError, match="coco or crowdpose"):
        Skeleton.load("mpii")
    with pytest.raises(InputError, match="does not exist"):
        Skeleton.load("nowhere/mpii.yaml")


@pytest.mark.parametrize(
    "joints",
    [
        ("left_hip", "right_hip", "lhand", "rhand"),
        ("LHip", "RHip", "lknee", "rknee"),
        ("left_foot", "right_foot", "lelbow", "relbow"),
    ],
)
def test_pairs_told_in_two_ways_are_both_mirrored(joints):
    assert Skeleton.from_dict({"name": "own", "joints": joints, "sigmas": [0.08] * 4, "edges": []}).flip == (
        1,
        0,
        3,
        2,
    )
