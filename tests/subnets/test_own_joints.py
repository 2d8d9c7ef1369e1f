"""Own joints from data to predictions: they travel with the weights, and data of others is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import yaml
from PIL import Image

pytest.importorskip("torch")

from subnets.console import SourceOptions
from subnets.portable.session import OnnxSession
from subnets.source import open_source
from supernet.data.source import DataConfig
from supernet.errors import InputError

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


FAST = ["train.steps=1", "train.sampling.largest_first=1", "train.sampling.resolutions=[64]"]
ONE = ["strategy=random", "search.evaluations=1", "search.batch=1", "search.baseline=0"]
Commands = list[list[str]]


def run(commands: Commands) -> None:
    """Run commands one after the other, each with the settings of its command line, in this process."""
    for module, *settings in commands:
        with patch.object(sys, "argv", [module, *settings]):
            import_module(module).main()


def refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line that `command` is refused with."""
    with pytest.raises(SystemExit) as stopped:
        run([command])
    assert stopped.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    return line


def train(name: str, data: list[str]) -> list[str]:
    return ["supernet.train", f"name={name}", "space=nano", *FAST, *data, *SMALL]


def search(name: str, *settings: str, supernet: str = "") -> list[str]:
    given = ["budgets.macs=[70%]", "threads=1", *settings]
    return ["search.run", f"name={name}", f"supernet={supernet or name}", *ONE, *given]


def joints_of(folder: Path) -> list[str]:
    skeleton = json.loads((folder / "meta.json").read_text())["skeleton"]
    return list(skeleton["joints"])


@pytest.mark.parametrize("count", [1, 14, 17, 21])
def test_joints_travel_with_the_weights_to_a_board(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    joints, runs = names(count), tmp_path / "runs"
    data = make_data(tmp_path / "data", joints)
    export = ["subnets.export", "arch=runs/search/n:70pct", "name=n", "export.latency_rounds=0"]
    run([train("n", data), search("n"), export])
    assert joints_of(runs / "search/n/subnets/70pct") == joints_of(runs / "export/n") == joints
    # As a board has it: the exported folder alone, run by what lies in it.
    (runs / "export/n").rename(tmp_path / "board")
    command = [sys.executable, "board/predict.py", "data/test/21.jpg", "--out", "out"]
    subprocess.run(command, check=True, env={"PATH": "", "OMP_NUM_THREADS": "1"})
    assert OnnxSession("board/model.onnx").require_manifest().skeleton.joints == tuple(joints)
    people = json.loads((tmp_path / "out/predictions.json").read_text())
    assert all(len(one["keypoints"]) == 3 * count for one in people)


def test_every_command_takes_the_joints_along_and_refuses_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    joints = names(14)
    data, other = make_data(tmp_path / "data", joints), make_data(tmp_path / "other", joints[::-1])
    run([train("n", data), search("n")])
    assert f"labelled: {', '.join(joints[::-1])}" in refused(search("x", *other, "supernet=n"), capsys)
    tuning = ["subnets.finetune", "arch=runs/search/n:70pct", "train.steps=1", *SMALL]
    assert f"found: {', '.join(joints)}" in refused([*tuning, "name=f", *other], capsys)
    run([[*tuning, "name=g", *data]])
    network = next(path.parent for path in Path("runs/finetune/g").rglob("meta.json"))
    assert joints_of(network) == joints
    scoring = ["subnets.evaluate", f"arch={network}"]
    run([[*scoring, "name=v", *data]])
    assert "labels the 14 of 'own14'" in refused([*scoring, "name=x", *other], capsys)

    # Before anything is rendered or read.
    none = ["name=z", "data=synthetic", "data.root=none"]
    exporting = ["subnets.export", "arch=runs/search/n:70pct", "export.score_images=1"]
    for command in (search("x", supernet="n"), scoring, tuning, exporting):
        assert "labels the 14 of 'crowdpose'" in refused([*command, *none], capsys)
    assert not Path("none").exists()

    # The data and the file of the joints moved: what is in them counts, and weights carry their joints.
    Path("data").rename("moved")
    Path("moved/own.yaml").rename("renamed.yaml")
    own = Path("renamed.yaml").read_text()
    Path("swapped.yaml").write_text(f"{own}flip: {list(range(14))}\n")
    splits = [setting for setting in data if "_split=" in setting]
    moved, swapped = (
        ["data=coco", "data.root=moved", f"data.skeleton={name}.yaml", *splits]
        for name in ("renamed", "swapped")
    )
    run([train("n", moved), search("n", *moved), [*scoring, "name=v", *moved]])
    assert "or for other joints" in refused(train("n", swapped), capsys)
    assert "score of other annotations" in refused([*scoring, "name=v", *swapped], capsys)
    with pytest.raises(InputError, match=r"nothing is; if they moved, give data\.root="):
        open_source("largest", SourceOptions(supernet="n"))
    # All that is left to say is where they are now: what else they are, their joints too, the run knows.
    of_n = ["supernet=n", "arch=largest"]
    run(
        [
            search("m", "data.root=moved", "data.workers=0", supernet="n"),
            ["subnets.evaluate", *of_n, "name=m", "data.root=moved"],
            ["subnets.predict", *of_n, "name=m", "data.root=moved", "source=moved/test"],
            ["subnets.finetune", *of_n, "name=m", "data.root=moved", "train.steps=1", *SMALL],
        ]
    )
    folders = (Path("runs/search/m/subnets/70pct"), Path("runs/finetune/m/subnet"))
    assert [joints_of(folder) for folder in folders] == [joints, joints]
    given = DataConfig("moved", "coco", train_split="train", skeleton="renamed.yaml")
    assert open_source("largest", SourceOptions(supernet="n", data=given)).skeleton.joints == tuple(joints)
    with pytest.raises(InputError, match=r"those that are given differ in data\.skeleton, data\.layout"):
        open_source("largest", SourceOptions(supernet="n", data=DataConfig("moved")))
    Path("moved").rename("data")
    assert open_source("largest", SourceOptions(supernet="n")).skeleton.joints == tuple(joints)
