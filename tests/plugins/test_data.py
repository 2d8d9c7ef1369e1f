"""A protocol and a layout from outside, each with the other's and the built-in ones, by real commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

JOINTS = {"name": "tongs", "joints": ["hinge", "left_tip", "right_tip"], "sigmas": [0.1, 0.1, 0.1]}


def write(root: Path) -> Path:
    """Three pictures of one pair of tongs each, in the toy's layout and in CrowdPose's."""
    rng = np.random.default_rng(0)
    listed, images, people = {}, [], []
    for folder in ("test", "images", "json"):
        (root / folder).mkdir(parents=True)
    for number in range(1, 4):
        pixels = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
        points = rng.integers(8, 56, (3, 2))
        for folder in ("test", "images"):
            cv2.imwrite(str(root / folder / f"{number}.png"), pixels)
        listed[f"{number}.png"] = {"size": [64, 64], "people": [points.ravel().tolist()]}
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 64})
        joints = np.column_stack([points, [2, 2, 2]]).ravel().tolist()
        box = [*points.min(axis=0).tolist(), *np.ptp(points, axis=0).tolist()]
        people.append({"id": number, "image_id": number, "category_id": 1, "keypoints": joints, "bbox": box})
    category = {"id": 1, "name": "tongs", "keypoints": JOINTS["joints"]}
    document = {"images": images, "annotations": people, "categories": [category]}
    (root / "test.json").write_text(json.dumps(listed))
    (root / "json" / "crowdpose_test.json").write_text(json.dumps(document))
    (root / "tongs.yaml").write_text(json.dumps(JOINTS))  # JSON is YAML
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("tongs"))


def settings(root: Path, layout: str, *more: str) -> list[str]:
    return [f"data.root={root}", f"data.layout={layout}", f"data.skeleton={root}/tongs.yaml", *more]


def test_a_layout_is_audited(command: Callable[..., Any], root: Path) -> None:
    command("supernet.audit", "data=crowdpose", "splits=[test]", *settings(root, "toy"), cwd=root)
    report = json.loads((root / "runs/audit/default/test/audit.json").read_text())
    assert (report["name"], report["counts"]["images"], report["counts"]["people"]) == ("toy-test", 3, 3)
    assert report["counts"]["crowd_levels"] == {}


@pytest.mark.parametrize(
    ("layout", "protocol", "metrics"),
    [
        ("toy", None, ["PCK10", "PCK5"]),
        ("crowdpose", "toy", ["PCK10", "PCK5"]),
        ("toy", "crowdpose", ["AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard"]),
    ],
)
def test_layout_and_protocol_are_chosen_by_themselves(
    command: Callable[..., Any], root: Path, layout: str, protocol: str | None, metrics: list[str]
) -> None:
    chosen = settings(root, layout, *([f"data.protocol={protocol}"] if protocol else []))
    net = ["arch=smallest", "supernet=tongs", "evaluation.calibration_images=3"]
    trained = root / "runs" / "train" / "tongs"
    if not trained.exists():
        small = ["space=nano", "threads=1", "train.steps=1", "train.batch_size=1", "data.workers=0"]
        small += ["train.sampling.resolutions=[64]", "train.sampling.largest_first=0", "name=tongs"]
        splits = ["data=crowdpose", "data.train_split=test"]
        command("supernet.train", *splits, *small, *settings(root, "toy"), cwd=root)
    name = f"{layout}-{protocol}"
    command("subnets.evaluate", "data=crowdpose", *net, *chosen, f"name={name}", cwd=root)
    scores = json.loads((root / f"runs/evaluate/{name}/results.json").read_text())
    assert list(scores["networks"][0]["stats"]) == metrics


def test_nothing_is_rendered_for_a_layout_of_ones_own(command: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = command(
        "supernet.audit", "data.layout=toy", "data.root=mine", "splits=[val]", cwd=tmp_path, ok=False
    )
    assert done.returncode == 2
    assert "annotation file val.json does not exist" in done.stderr
    assert not [*(tmp_path / "mine").iterdir()]


def test_unknown_names_are_refused_with_those_there_are(command: Callable[..., Any], root: Path) -> None:
    for setting in ("data.layout=mine", "data.protocol=mine"):
        done = command("supernet.audit", "data=crowdpose", setting, ok=False)
        assert done.returncode == 2
        assert "crowdpose" in done.stderr
        assert "toy" in done.stderr
