"""The wheel, installed in an empty environment away from the checkout, answers and works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, distribution
from pathlib import Path

import cv2
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def needed(wheel: Distribution) -> dict[str, Distribution]:
    """What `wheel` depends on, of this environment; the test fails where a version does not suit."""
    found: dict[str, Distribution] = {}
    asked = [(text, "") for text in wheel.requires or []]
    for text, extra in asked:  # it grows
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        item = distribution(requirement.name)
        assert requirement.specifier.contains(item.version, prereleases=True), (text, item.version)
        name = canonicalize_name(requirement.name)
        more = [*requirement.extras, *([] if name in found else [""])]
        found[name] = item
        asked += [
            pair for extra in more for need in item.requires or [] if (pair := (need, extra)) not in asked
        ]
    return found


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a virtual environment that holds the wheel and what it depends on, nothing else.

    What it depends on is linked there from this environment, into which pip has put it already.
    """
    folder = tmp_path_factory.mktemp("away")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "-o", folder / "dist", ROOT, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv/bin/python", "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", *(folder / "dist").glob("*.whl"), cwd=folder)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    (about,) = site.glob("litepose_ofa-*.dist-info")
    for item in needed(Distribution.at(about)).values():
        for name in {file.parts[0] for file in item.files or []} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(item.locate_file(name))))
    assert not (site / "pytest").exists(), "what only tests need is not there"
    return folder


@pytest.mark.slow
def test_commands_answer_train_and_find_people_away_from_the_checkout(away: Path) -> None:
    for script in SCRIPTS:
        help_text = run(away / "venv/bin" / script, "--help", cwd=away).stdout
        assert "python -m " in help_text, f"{script} --help shows no example"
    run(
        away / "venv/bin/litepose-train",
        "name=tiny-run",
        "data.render.train=8",
        "data.render.val=4",
        "data.render.test=4",
        "train.steps=2",
        "train.sampling.largest_first=1",
        "train.batch_size=2",
        "data.workers=0",
        cwd=away,
    )
    assert (away / "runs/train/tiny-run/config.yaml").is_file()
    cv2.imwrite(str(away / "photo.jpg"), np.random.default_rng(0).integers(0, 255, (200, 160, 3), np.uint8))
    run(away / "venv/bin/litepose-predict", "source=photo.jpg", cwd=away)  # by the supernet that ships
    assert isinstance(json.loads((away / "runs/predict/photo.jpg/predictions.json").read_text()), list)
