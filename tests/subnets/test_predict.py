"""The predict command: torch and ONNX alike, finished runs kept, failures told."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from subnets.predict.__main__ import run
from subnets.predict.options import PredictCommand, PredictOptions
from supernet import InputError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), rng.integers(0, 255, (96, 128, 3), np.uint8))
    return folder


def command(source: Path, arch: Path, **settings: Any) -> PredictCommand:
    options = PredictOptions(threshold=0.02)
    given = {"source": str(source), "arch": str(arch), "predict": options, "threads": 1}
    return PredictCommand(**{**given, **settings})


def test_torch_and_onnx_find_the_same_people(
    photos: Path, small_folder: Path, small_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = PredictOptions(threshold=0.02, draw_score=0.5)
    for name, arch in (("torch", small_folder), ("onnx", small_onnx)):
        run(command(photos, arch, predict=options), tmp_path / name)
    torch_results, onnx_results = (
        json.loads((tmp_path / name / "predictions.json").read_text()) for name in ("torch", "onnx")
    )
    assert len(torch_results) == len(onnx_results) > 0
    strong = sum(result["score"] >= 0.5 for result in onnx_results)
    line = f"2 images, {strong} people of score 0.5 or more (and {len(onnx_results) - strong} below), "
    assert line in capsys.readouterr().out.splitlines()[2]
    for ours, theirs in zip(torch_results, onnx_results, strict=True):
        assert np.abs(np.subtract(ours["keypoints"], theirs["keypoints"])).max() < 0.05
    assert (tmp_path / "torch" / "a.jpg").exists()


def test_a_finished_run_is_kept(
    photos: Path, small_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = command(photos, small_folder)
    run(config, tmp_path / "out")
    before = (tmp_path / "out" / "predictions.json").stat().st_mtime_ns
    run(config, tmp_path / "out")
    assert "holds these predictions already" in capsys.readouterr().out
    assert (tmp_path / "out" / "predictions.json").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="other settings"):
        run(command(photos, small_folder, runtime="torch"), tmp_path / "out")


def test_broken_images_are_told_after_the_others_are_done(
    photos: Path, small_folder: Path, tmp_path: Path
) -> None:
    (photos / "c.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(InputError, match=r"c\.jpg is a truncated JPEG.*\(the other images are done: 2\)"):
        run(command(photos, small_folder), tmp_path / "out")
    assert len(json.loads((tmp_path / "out" / "images.json").read_text())) == 2
    with pytest.raises(InputError, match=r"already, but: .*c\.jpg is a truncated JPEG.*choose another name"):
        run(command(photos, small_folder), tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "nowhere"}, "source nowhere does not exist"),
        ({"arch": "litepose-xs"}, "litepose-xs has random weights"),
        ({"arch": "nowhere"}, "'nowhere' is neither a file nor a name"),
        ({"runtime": "onnxruntime"}, "has no file for onnxruntime"),
        ({"runtime": "tvm"}, "runtime 'tvm' is not known"),
        ({"predict": PredictOptions(threshold=-1.0)}, "must be positive"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_written(
    photos: Path, small_folder: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(replace(command(photos, small_folder), **settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_option_ranges() -> None:
    with pytest.raises(InputError, match="limit=0 must be 1 or more"):
        PredictOptions(limit=0)
    with pytest.raises(InputError, match="positive numbers"):
        PredictOptions(scales=[0.0])


def test_the_command_tells_a_broken_image_and_writes_nothing(small_onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    command = [sys.executable, "-m", "subnets.predict", "source=broken.jpg", f"arch={small_onnx}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        "error: broken.jpg is a truncated JPEG; fetch it again"
    ]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("predictions.json"))
