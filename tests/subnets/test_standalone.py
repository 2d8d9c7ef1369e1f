"""An exported folder runs where there is nothing but numpy, scipy, OpenCV and onnxruntime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from subnets.export.bundle import PACKAGE, portable_modules, write_bundle
from supernet.heads.contract import HEADS

# What the four packages need to be imported, with the folders of their shared libraries.
ALLOWED = ("numpy", "numpy.libs", "scipy", "scipy.libs", "cv2", "onnxruntime", "onnxruntime.libs")
ALLOWED += ("opencv_python_headless.libs", "opencv_python.libs")


@pytest.fixture(scope="module")
def consumer(small_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `bundle/` (an exported network) and `site/` (all that its machine has)."""
    folder = tmp_path_factory.mktemp("consumer")
    (folder / "site").mkdir()
    (folder / "bundle").mkdir()
    spec = find_spec("numpy")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parents[1]
    for name in ALLOWED:
        if (packages / name).exists():
            (folder / "site" / name).symlink_to(packages / name)
    (folder / "bundle" / "model.onnx").write_bytes(small_onnx.read_bytes())
    write_bundle(folder / "bundle", HEADS.get("embedding"))
    return folder


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as on the consumer's machine, away from the checkout and from this environment's
    packages.
    """
    env = {**os.environ, "PYTHONPATH": str(folder / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-S", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("module", ["torch", "yaml", "hydra", "supernet", "subnets", "faster_coco_eval"])
def test_the_consumer_has_nothing_else(consumer: Path, module: str) -> None:
    assert "ModuleNotFoundError" in python(consumer, "-c", f"import {module}").stderr


def test_it_finds_and_draws_the_same_people(consumer: Path, small_onnx: Path) -> None:
    from subnets.portable.main import open_predictor

    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    cv2.imwrite(str(consumer / "photo.png"), image)
    done = python(
        consumer, "bundle/predict.py", "photo.png", "--out", "found", "--threshold", "0.02", "--threads", "1"
    )
    assert done.returncode == 0, done.stderr
    assert "1 images" in done.stdout
    drawn = cv2.imread(str(consumer / "found" / "photo.jpg"))
    assert drawn.shape == image.shape
    results = json.loads((consumer / "found" / "predictions.json").read_text())
    here = open_predictor(small_onnx, threads=1, threshold=0.02)(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    assert len(results) == len(here) > 0
    for result, pose, score in zip(results, here.keypoints, here.scores, strict=True):
        assert np.abs(np.array(result["keypoints"]).reshape(-1, 3) - pose).max() < 1e-3
        assert abs(result["score"] - score) < 1e-6
    assert json.loads((consumer / "found" / "images.json").read_text()) == [
        {"id": 1, "file_name": "photo.png", "width": 160, "height": 120}
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "source nowhere.jpg does not exist"),
        (["broken.jpg"], "broken.jpg is a truncated JPEG"),
        (["empty"], "folder empty holds no images"),
        (["broken.jpg", "--model", "none.onnx"], "ONNX file none.onnx does not exist"),
        (["camera:97"], "camera 97 cannot be opened"),
        (["odd.avi"], "odd.avi"),
        (["cut.mp4"], "video cut.mp4 cannot be opened: truncated, or in a format that OpenCV does not know"),
    ],
)
def test_bad_input_is_one_line(consumer: Path, arguments: list[str], message: str) -> None:
    (consumer / "empty").mkdir(exist_ok=True)
    data = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    (consumer / "broken.jpg").write_bytes(data[: len(data) // 2])
    (consumer / "odd.avi").write_bytes(video(consumer / "clip.avi", "MJPG").replace(b"MJPG", b"QQQQ"))
    (consumer / "cut.mp4").write_bytes(video(consumer / "clip.mp4", "mp4v")[:5000])
    done = python(consumer, "bundle/predict.py", *arguments, "--out", "bad")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (consumer / "bad" / "predictions.json").exists()


def test_a_cut_video_is_told_and_its_frames_kept(consumer: Path) -> None:
    # Motion JPEG in AVI opens even when it is cut.
    data = video(consumer / "clip.avi", "MJPG")
    (consumer / "cut.avi").write_bytes(data[: len(data) // 2])
    done = python(consumer, "bundle/predict.py", "cut.avi", "--out", "cut", "--threads", "1")
    frames = len(json.loads((consumer / "cut" / "images.json").read_text()))
    assert 0 < frames < 20
    assert done.returncode == 2
    assert done.stderr == f"error: video cut.avi ends after {frames} of 20 frames; is it truncated?\n"
    assert "people of score 0.3 or more" in done.stdout
    again = python(consumer, "bundle/predict.py", "cut.avi", "--out", "cut")
    assert (again.returncode, again.stderr) == (2, done.stderr), "looked at again"
    other = python(consumer, "bundle/predict.py", "cut.avi", "--out", "cut", "--flip")
    assert (other.returncode, "holds predictions already" in other.stderr) == (2, True)


def video(path: Path, codec: str) -> bytes:
    """Twenty frames of noise."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(20):
        writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    return path.read_bytes()


OWN_HEAD = """
from supernet.heads.contract import HEADS, Head, Output
from mine.names import NAME

class Mine(Head):
    name = NAME
    portable = True

    def outputs(self, num_joints):
        return (Output("maps", num_joints, 4),)

HEADS.register(NAME, Mine())
"""


def test_a_head_of_ones_own_travels_with_what_it_imports(
    consumer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    for name, text in (("__init__", ""), ("names", 'NAME = "traveller"\n'), ("head", OWN_HEAD)):
        (tmp_path / "mine" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import_module("mine.head")
    write_bundle(consumer / "own", HEADS.get("traveller"))
    code = "import sys; sys.path.insert(0, 'own'); from litepose_runtime.heads.contract import HEADS; "
    done = python(consumer, "-c", f"{code}print(HEADS.get('traveller').outputs(3)[0].channels)")
    assert done.stdout.split() == ["3"], done.stderr


def test_what_travels_is_portable(consumer: Path) -> None:
    modules = portable_modules(HEADS.get("embedding"))
    assert {"subnets.portable.main", "supernet.pose.grouping", "supernet.errors"} <= set(modules)
    for path in (consumer / "bundle" / PACKAGE).rglob("*.py"):
        text = path.read_text()
        assert "from supernet" not in text, path
        assert "from subnets" not in text, path
        assert "import torch" not in text, path
