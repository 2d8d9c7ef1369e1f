"""The predict command: torch and ONNX alike, finished runs kept, failures told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from warm import Warm

from subnets.predict.__main__ import PredictCommand, PredictOptions, run
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
    names = {path.name for path in (tmp_path / "out").iterdir()}
    # What a kill leaves when all is done.
    (tmp_path / "out" / ".predicting-abcdefgh").mkdir()
    (tmp_path / "out" / ".lock").touch()
    run(config, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
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
    kept = (tmp_path / "out" / "predictions.json").read_bytes()
    with pytest.raises(InputError, match=r"c\.jpg is a truncated JPEG.*\(the other images are done: 2\)"):
        run(command(photos, small_folder), tmp_path / "out")
    assert (tmp_path / "out" / "predictions.json").read_bytes() == kept
    cv2.imwrite(str(photos / "c.jpg"), np.zeros((96, 128, 3), np.uint8))
    run(command(photos, small_folder), tmp_path / "out")
    images = json.loads((tmp_path / "out" / "images.json").read_text())
    assert [image["file_name"] for image in images] == ["a.png", "b.png", "c.jpg"]
    files = {"a.jpg", "b.jpg", "c.jpg", "config.yaml", "images.json", "predictions.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files


def test_a_strip_is_passed_over_by_name(photos: Path, small_folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(photos / "aa.png"), np.zeros((3, 5000, 3), np.uint8))
    with pytest.raises(InputError, match=r"^aa\.png: an image of 5000 x 3 pixels .*are done: 2\)"):
        run(command(photos, small_folder), tmp_path / "out")
    images = json.loads((tmp_path / "out" / "images.json").read_text())
    assert [image["file_name"] for image in images] == ["a.png", "b.png"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_prediction_starts_again(small_onnx: Path, tmp_path: Path, number: int) -> None:
    (tmp_path / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    for index in range(100):
        cv2.imwrite(str(tmp_path / "in" / f"{index}.png"), noise)
        cv2.imwrite(str(tmp_path / "in" / f"{index}.bmp"), noise)
    command = [
        sys.executable,
        "-m",
        "subnets.predict",
        "source=in",
        f"arch={small_onnx}",
        "name=x",
        "threads=1",
    ]
    out = tmp_path / "runs" / "predict" / "x"
    first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(out.glob("*.jpg"))) < 3:
        assert first.poll() is None
        time.sleep(0.01)
    first.send_signal(number)
    assert first.wait() == (-number if number == signal.SIGKILL else 130)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(json.loads((out / "images.json").read_text())) == 200
    pictures = {f"{index}.jpg" for index in range(100)} | {f"{index}.png.jpg" for index in range(100)}
    results = {"config.yaml", "images.json", "predictions.json"}
    assert {path.name for path in out.iterdir()} == pictures | results


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
    with pytest.raises(InputError, match="limit=0 is not between 1 and"):
        PredictOptions(limit=0)
    with pytest.raises(InputError, match="positive numbers"):
        PredictOptions(scales=[0.0])


def test_the_command_tells_a_broken_image_and_writes_nothing(
    warm: Warm, small_onnx: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    done = warm.run("subnets.predict", ["source=broken.jpg", f"arch={small_onnx}"], tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] == [
        "error: broken.jpg is a truncated JPEG; fetch it again"
    ]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("predictions.json"))
