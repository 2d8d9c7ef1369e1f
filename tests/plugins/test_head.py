"""A head from outside the package: trained, scored, exported and used by the real commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

JOINTS = {"name": "tongs", "joints": ["hinge", "left_tip", "right_tip"], "sigmas": [0.1, 0.1, 0.1]}
STAGE = {"width": [4, 8], "depth": [1, 2], "kernel": [3, 5], "expansion": [2]}
SPACE = {
    "schema": 1,
    "name": "micro",
    "head_kind": "toy",
    "resolution": [64],
    "stem": [4, 8],
    "stages": [STAGE] * 4,
    "head": [[4, 8], [4, 8], [4, 8]],
}
TRAIN = (
    "threads=1",
    "train.steps=4",
    "train.batch_size=2",
    "train.log_every=2",
    "train.sampling.random=1",
    "train.sampling.largest_first=0",
    "train.validation.every=4",
    "train.validation.calibration=2",
    "train.validation.subnets=0",
)


@pytest.fixture(scope="module")
def root(command: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of tongs in the toy layout, and a supernet with the toy's head in runs/."""
    root = tmp_path_factory.mktemp("head")
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (root / split).mkdir()
        listed = {}
        for number in range(3):
            cv2.imwrite(str(root / split / f"{number}.png"), rng.integers(0, 255, (64, 64, 3), np.uint8))
            points = rng.integers(8, 56, (1, 6)).tolist()
            listed[f"{number}.png"] = {"size": [64, 64], "people": points}
        (root / f"{split}.json").write_text(json.dumps(listed))
    for name, content in (("tongs", JOINTS), ("space", SPACE)):
        (root / f"{name}.yaml").write_text(json.dumps(content))  # JSON is YAML
    command("supernet.train", "space=space.yaml", *data(root), "data.workers=0", *TRAIN, cwd=root)
    return root


def data(root: Path) -> tuple[str, ...]:
    return ("data=crowdpose", f"data.root={root}", "data.layout=toy", f"data.skeleton={root}/tongs.yaml")


def test_it_learns_by_its_own_terms_and_is_validated(root: Path) -> None:
    lines = [json.loads(line) for line in (root / "runs/train/default/log.jsonl").read_text().splitlines()]
    training = [line for line in lines if line["kind"] == "train"]
    assert {"heat_maps", "distillation", "loss/largest"} <= set(training[0])
    assert not {"pull", "push", "heat_quarter"} & set(training[0])
    (scored,) = [line for line in lines if line["kind"] == "validation"]
    assert "PCK10/largest" in scored


def test_it_is_scored(command: Callable[..., Any], root: Path) -> None:
    command("subnets.evaluate", "arch=largest", "supernet=default", *data(root), cwd=root)
    (network,) = json.loads((root / "runs/evaluate/largest/results.json").read_text())["networks"]
    assert set(network["stats"]) == {"PCK10", "PCK5"}
    (found,) = (root / "runs/evaluate/largest/detections").iterdir()
    assert len(json.loads(found.read_text())) == 3, "one person in each picture"


def test_its_exported_file_says_what_it_gives_and_finds_the_same_person(
    command: Callable[..., Any], root: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    wanted = ("arch=largest", "supernet=default", "format=[onnx]", "export.latency_rounds=0", *data(root))
    command("subnets.export", *wanted, cwd=root)
    folder = root / "runs/export/largest"
    model = onnx.load(folder / "model.onnx")
    record = json.loads({item.key: item.value for item in model.metadata_props}["litepose"])
    assert record["head_kind"] == "toy"
    assert record["outputs"] == {"maps": "(B, J, H/4, W/4) heatmaps"}
    assert "Peaks join" not in (folder / "card.md").read_text(), "one person needs no rule"
    assert not (folder / "predict.py").exists(), "a bundle has the modules of built-in heads only"
    found = []
    for name, runtime in (("torch", "torch"), ("onnx", "onnxruntime")):
        wanted = (f"arch={folder}", f"name={name}", f"runtime={runtime}", "source=test", "predict.draw=false")
        command("subnets.predict", *wanted, cwd=root)
        found.append(json.loads((root / f"runs/predict/{name}/predictions.json").read_text()))
    assert [len(each) for each in found] == [3, 3]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours["keypoints"], theirs["keypoints"], atol=1e-3)


def test_a_head_that_is_not_known_is_refused(command: Callable[..., Any], root: Path) -> None:
    (root / "other.yaml").write_text(json.dumps(SPACE | {"head_kind": "crown"}))
    done = command("supernet.train", "space=other.yaml", "name=other", *data(root), cwd=root, ok=False)
    assert done.returncode == 2
    assert "head 'crown' is not known" in done.stderr


def test_a_head_that_finds_nobody_is_refused_at_the_start(command: Callable[..., Any], root: Path) -> None:
    (root / "other.yaml").write_text(json.dumps(SPACE | {"head_kind": "heatmaps"}))
    done = command("supernet.train", "space=other.yaml", "name=other", *data(root), cwd=root, ok=False)
    assert done.returncode == 2
    assert "has head_kind heatmaps, which finds nobody in whole images" in done.stderr
    assert not (root / "runs/train/other/space.yaml").exists()
