"""The wheel, installed in an empty environment away from the checkout, answers and works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a virtual environment that holds the wheel and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("away")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", folder / "dist", ROOT, cwd=folder)
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    python, constraints = folder / "venv/bin/python", ROOT / "constraints.txt"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", constraints]
    index = os.environ.get("TORCH_INDEX")
    run(*pip, *(["--index-url", index] if index else []), "torch", cwd=folder)
    run(*pip, *(folder / "dist").glob("*.whl"), cwd=folder)
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
