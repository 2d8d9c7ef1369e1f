"""A format from outside the package: written, proved, and run by the real commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from subnets import build, save
from supernet import Arch, Stage
from supernet.evaluation import calibrate_by
from supernet.pose import Skeleton

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def exported(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network, exported as `toy` and ONNX in a folder `runs/export/small`."""
    import torch

    folder = tmp_path_factory.mktemp("format")
    stages = (Stage(8, (3, 5), (4, 4)), Stage(16, (7,), (4,)), Stage(24, (3,), (4,)), Stage(40, (5,), (4,)))
    net = build(Arch(96, 8, stages, (16, 16, 16)), num_joints=14, seed=3)
    net.skeleton = Skeleton.load("crowdpose")
    calibrate_by(net, net, [torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(3))])
    save(net.eval(), folder / "small", {"name": "small"})
    options = ["export.latency_rounds=0", "export.bundle=false", "export.options={toy:{compressed:true}}"]
    command("subnets.export", "arch=small", "format=[toy,onnx]", *options, cwd=folder)
    return folder


def test_it_is_written_and_compared_with_torch(exported: Path) -> None:
    record = json.loads((exported / "runs/export/small/export.json").read_text())
    written = {item["format"]: item for item in record["formats"]}
    assert list(written) == ["toy", "onnx"]
    assert (written["toy"]["file"], written["toy"]["runtime"]) == ("model.npz", "toy")
    assert written["toy"]["difference"] < 1e-5
    card = (exported / "runs/export/small/card.md").read_text()
    told = (
        "(compressed)",
        "of family litepose for",
        "Peaks join people",
        "inside `model.npz`, `model.onnx` (",
    )
    assert [text for text in told if text not in card] == []


def test_its_file_and_its_folder_find_the_same_people(command: Command, exported: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    cv2.imwrite(str(exported / "a.png"), image)
    arch = "runs/export/small"
    for name, settings in (
        ("file", [f"arch={arch}/model.npz"]),
        ("folder", [f"arch={arch}", "runtime=toy"]),
        ("onnx", [f"arch={arch}", "runtime=onnxruntime"]),
    ):
        wanted = [*settings, f"name={name}", "source=a.png", "predict.threshold=0.02", "predict.draw=false"]
        command("subnets.predict", *wanted, cwd=exported)
    found = [
        json.loads((exported / f"runs/predict/{name}/predictions.json").read_text())
        for name in ("file", "folder", "onnx")
    ]
    assert found[0] == found[1]
    assert len(found[0]) == len(found[2]) > 0
    for ours, theirs in zip(found[0], found[2], strict=True):
        assert np.abs(np.subtract(ours["keypoints"], theirs["keypoints"])).max() < 0.05


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            ["format=[none]"],
            "'none' is not known; choose from onnx, fp16, levelled, int8, torch_export, ",
        ),
        (["format=[toy]", "export.options={toy:{odd:1}}"], "export.options.toy.odd is not known"),
        (["format=[toy]", "export.peaks=3"], "format toy needs heatmaps as outputs; use export.peaks=0"),
    ],
)
def test_what_it_cannot_do_is_told(command: Command, exported: Path, settings: list[str], told: str) -> None:
    done = command("subnets.export", "arch=small", "name=bad", *settings, ok=False, cwd=exported)
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert told in line
    assert not (exported / "runs/export/bad").exists()
