"""Own joints from data to predictions: they travel with the weights, and data of others is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("torch")

from subnets.console import SourceOptions
from subnets.portable.session import OnnxSession
from subnets.source import open_source
from supernet.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["threads=1", "data.workers=0", "train.batch_size=2"]


def names(count: int) -> list[str]:
    """`count` joints in an order that is neither CrowdPose's nor COCO's."""
    return [f"{side}_{i // 2}" for i in range(count) for side in (("right", "left")[i % 2],)]


def make_data(folder: Path, joints: list[str]) -> list[str]:
    """Two pictures a split with two people each, and the settings that name them."""
    rng = np.random.default_rng(len(joints))
    (folder / "annotations").mkdir(parents=True)
    (folder / "own.yaml").write_text(
        yaml.safe_dump({"joints": joints, "sigmas": [0.1] * len(joints), "name": f"own{len(joints)}"})
    )
    for number, split in enumerate(("train", "val", "test")):
        (folder / split).mkdir()
        images, people = [], []
        for i in range(2):
            image = 1 + 10 * number + i
            Image.fromarray(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)).save(
                folder / split / f"{image}.jpg"
            )
            images.append({"id": image, "file_name": f"{image}.jpg", "width": 96, "height": 64})
            for left in (4, 50):
                points = rng.integers((left, 4), (left + 40, 60), (len(joints), 2))
                triples = np.column_stack([points, np.full(len(joints), 2)])
                box = [left, 4, 40, 56]
                if len(joints) == 1:  # as CVAT writes it
                    box = [*points[0].tolist(), 0, 0]
                people.append(
                    {
                        "id": len(people) + 1 + 100 * number,
                        "image_id": image,
                        "category_id": 1,
                        "iscrowd": 0,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "num_keypoints": len(joints),
                        "keypoints": triples.ravel().tolist(),
                    }
                )
        value = {
            "images": images,
            "annotations": people,
            "categories": [{"id": 1, "name": "person", "keypoints": joints, "skeleton": []}],
        }
        (folder / "annotations" / f"person_keypoints_{split}.json").write_text(json.dumps(value))
    splits = [f"data.{role}_split={role}" for role in ("train", "val", "test")]
    return ["data=coco", f"data.root={folder}", f"data.skeleton={folder / 'own.yaml'}", *splits]


# One process for a story's commands: importing torch for each would take most of the time.
SCRIPT = """
import json, runpy, sys
for module, *settings in json.loads(sys.stdin.read()):
    sys.argv = [module, *settings]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as stopped:
        if stopped.code:
            raise
"""
FAST = ["train.steps=1", "train.sampling.largest_first=1", "train.sampling.resolutions=[64]"]
ONE = ["strategy=random", "search.evaluations=1", "search.batch=1", "search.baseline=0"]
Commands = list[list[str]]


def run(folder: Path, commands: Commands, refused: str | None = None) -> None:
    """Run the commands in `folder`; the last is refused in one line if `refused` says with which words."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(commands),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if refused is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2, done.stderr
        line = done.stderr.strip().splitlines()[-1]
        assert line.startswith("error: ")
        assert refused in line


def train(name: str, data: list[str]) -> list[str]:
    return ["supernet.train", f"name={name}", "space=nano", *FAST, *data, *SMALL]


def search(name: str, *settings: str, supernet: str = "") -> list[str]:
    given = ["budgets.macs=[70%]", "threads=1", *settings]
    return ["search.run", f"name={name}", f"supernet={supernet or name}", *ONE, *given]


def joints_of(folder: Path) -> list[str]:
    skeleton = json.loads((folder / "meta.json").read_text())["skeleton"]
    return list(skeleton["joints"])


def test_joints_travel_with_the_weights_to_a_file(tmp_path: Path) -> None:
    counts = (1, 13, 14, 17, 21)
    commands: Commands = []
    for count in counts:
        name, picture = f"n{count}", tmp_path / f"data{count}/test/21.jpg"
        commands += [train(name, make_data(tmp_path / f"data{count}", names(count))), search(name)]
        commands.append(["subnets.export", f"arch=runs/search/{name}:70pct", f"name={name}", "format=[onnx]"])
        file = f"arch=runs/export/{name}/model.onnx"
        commands.append(["subnets.predict", file, f"source={picture}", f"name={name}"])
    run(tmp_path, commands)
    for count in counts:
        joints, runs = names(count), tmp_path / "runs"
        assert joints_of(runs / f"search/n{count}/subnets/70pct") == joints
        assert joints_of(runs / f"export/n{count}") == joints
        # A file alone, as a board has it, names its joints too.
        session = OnnxSession(runs / f"export/n{count}/model.onnx")
        assert session.require_manifest().skeleton.joints == tuple(joints)
        people = json.loads((runs / f"predict/n{count}/predictions.json").read_text())
        assert all(len(one["keypoints"]) == 3 * count for one in people)


def test_every_command_takes_the_joints_along_and_refuses_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joints = names(14)
    data, other = make_data(tmp_path / "data", joints), make_data(tmp_path / "other", joints[::-1])
    run(
        tmp_path,
        [train("n", data), search("x", *other, "supernet=n")],
        f"labelled: {', '.join(joints[::-1])}",
    )
    found, short = "arch=runs/search/n:70pct", ["train.epochs=1", *SMALL]
    tuning = ["subnets.finetune", found, "name=f", *other, *short]
    run(tmp_path, [search("n"), tuning], f"found: {', '.join(joints)}")
    run(tmp_path, [["subnets.finetune", found, "name=g", *data, *short]])
    network = next(path.parent for path in (tmp_path / "runs/finetune/g").rglob("meta.json"))
    assert joints_of(network) == joints
    scoring = ["subnets.evaluate", f"arch={network}"]
    commands = [[*scoring, "name=v", *data], [*scoring, "name=x", *other]]
    run(tmp_path, commands, "labels the 14 of 'own14'")
    # A command without data of its own, such as predict: the line names one that takes them.
    (tmp_path / "data").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        InputError, match=r"nothing is; export it with python -m subnets\.export data=\.\.\. "
    ):
        open_source("largest", SourceOptions(supernet="n"))
