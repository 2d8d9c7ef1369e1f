"""The README's commands and the example of docs/data.md run as they stand there, on a small scale."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from doc_pages import ROOT, commands, python_blocks, shell_lines, write_files
from warm import Warm, environment

from supernet import SearchSpace

README = ROOT / "README.md"
Run = Callable[..., str]
RENDER = ["data.render.train=8", "data.render.val=4", "data.render.test=4", "data.render.size=64"]
TRAIN = [
    "train.steps=1",
    "train.batch_size=2",
    "train.sampling.largest_first=0",
    "train.validation.images=1",
    "train.validation.calibration=2",
    "data.workers=0",
    "threads=1",
]
SEARCH = ["strategy=random", "search.baseline=0", "evaluation.calibration_images=2"]
# What makes the commands of the README small; a command that is not here is not run, and the test says so.
SMALL = {
    "supernet.train name=mine": ["space=nano", *TRAIN, *RENDER],
    "search.run supernet=mine": [*SEARCH, "search.evaluations=2", "search.warm_start=[smallest.yaml]"],
    "subnets.export": ["export.latency_rounds=1", *RENDER],
    "subnets.evaluate": RENDER,
    "subnets.predict": [],
    # Rendered data lies in CrowdPose's own layout.
    "supernet.train name=crowd": [*TRAIN, "train.sampling.resolutions=[256]", "data.root=data/synthetic"],
    "search.run supernet=crowd": [
        *SEARCH,
        "search.references=false",
        "search.evaluations=1",
        "evaluation.images=1",
    ],
}


@pytest.fixture(scope="module")
def run(warm: Warm) -> Run:
    """`run(line, folder, *more)`: run one command line of a page with further overrides; what it printed."""

    def start(line: str, folder: Path, *more: str) -> str:
        program, *words = shlex.split(line)
        assert program == "python"
        if words[0] == "-m":
            done = warm.run(words[1], [*words[2:], *more], folder)
        else:
            command = [sys.executable, *words, *more]
            done = subprocess.run(
                command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
            )
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
        return done.stdout

    return start


def small(line: str) -> list[str]:
    (more,) = (value for key, value in SMALL.items() if key in line)
    return more


@pytest.fixture(scope="module")
def home(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder in which the README's first commands have run."""
    folder = tmp_path_factory.mktemp("reader")
    SearchSpace.load("nano").smallest().save(folder / "smallest.yaml")
    for line in shell_lines(README, "From data to device"):
        if "source=photo.jpg" in line:
            photo = next((folder / "data/synthetic/images").glob("*.jpg"))
            (folder / "photo.jpg").write_bytes(photo.read_bytes())
        run(line, folder, *small(line))
    return folder


@pytest.mark.slow
def test_from_data_to_device(run: Run, home: Path) -> None:
    runs = home / "runs"
    assert (runs / "search/mine/report.html").is_file()
    assert {path.name for path in (runs / "search/mine/subnets").iterdir()} == {"30pct", "0.03G"}
    assert (runs / "export/mine-30pct/model.onnx").is_file()
    results = json.loads((runs / "evaluate/mine-30pct/results.json").read_text())
    assert len(results["networks"][0]["stats"]) == 9
    assert (runs / "predict/photo.jpg/predictions.json").is_file()
    # The exported folder runs by itself, as docs/deploy.md has it.
    folder = runs / "export/mine-30pct"
    run(f"python {folder / 'predict.py'} photo.jpg --out found", home)
    assert (home / "found/predictions.json").is_file()


@pytest.mark.slow
def test_the_same_commands_on_data_in_crowdposes_layout(run: Run, home: Path) -> None:
    text = README.read_text()
    block = text.partition("The same commands run on real data:\n\n```sh\n")[2].partition("```")[0]
    for line in block.splitlines():
        run(line.partition(" #")[0], home, *small(line))
    assert {path.name for path in (home / "runs/search/crowd/subnets").iterdir()} <= {"XS", "S", "M", "L"}


@pytest.mark.slow
def test_joints_of_ones_own(run: Run, tmp_path: Path) -> None:
    write_files(ROOT / "docs/data.md", tmp_path)
    lines = shell_lines(ROOT / "docs/data.md", "Your own images and joints")
    more = {"train": TRAIN, "evaluate": ["evaluation.images=4"], "predict": ["predict.limit=4"]}
    printed = [
        run(line, tmp_path, *next((value for key, value in more.items() if f".{key} " in line), ()))
        for line in lines
    ]
    assert "coco-train: 200 images, 400 people" in printed[1]
    assert "hinge" in printed[3]
    found = json.loads((tmp_path / "runs/predict/tongs/predictions.json").read_text())
    assert all(len(person["keypoints"]) == 9 for person in found)
    score = json.loads((tmp_path / "runs/evaluate/tongs/networks/largest.json").read_text())
    assert {"AP", "AP_medium", "AP_large"} <= set(score["stats"])


def test_the_readme_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (block,) = python_blocks(README)
    names: dict[str, object] = {}
    exec(compile(block.replace("200_000", "2_000"), "README.md", "exec"), names)
    assert (tmp_path / "my-net/model.safetensors").is_file()


def test_every_command_of_the_readme_is_run() -> None:
    """By the tests above, or by those of the command itself."""
    elsewhere = {
        "supernet.describe arch=litepose-s": "supernet/test_describe.py",
        "subnets.costs ": "subnets/families/test_commands.py",
        "subnets.convert arch=litepose-s weights=FILE name=NAME": "subnets/official/test_convert.py",
    }
    for command in commands(README):
        line = f"{command.module} {command.text}"
        if not any(key in line for key in SMALL):
            assert command.module in (ROOT / "tests" / elsewhere[line]).read_text()
