"""Everything of a plugin together: train, profile, search, export, evaluate and predict by real commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_head import JOINTS, data

pytest.importorskip("torch")
SPACE = {
    "family": "toy",
    "head_kind": "toy",
    "resolution": [64],
    "widths": [[4, 8], [8, 16]],
    "depth": [1, 2, 3],
}


def test_from_pictures_to_people(command: Callable[..., Any], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        listed = {}
        for number in range(3):
            picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
            cv2.imwrite(str(tmp_path / split / f"{number}.png"), picture)
            points = rng.integers(8, 56, (1, 6)).tolist()
            listed[f"{number}.png"] = {"size": [64, 64], "people": points}
        (tmp_path / f"{split}.json").write_text(json.dumps(listed))
    for name, content in (("tongs", JOINTS), ("space", SPACE)):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(content))

    steps = ("train.steps=2", "train.batch_size=2", "train.sampling.largest_first=1", "data.workers=0")
    scored = ("train.validation.every=2", "train.validation.calibration=2", "train.validation.subnets=0")
    command("supernet.train", "name=s", "space=space.yaml", *data(tmp_path), *steps, *scored, cwd=tmp_path)

    measured = ("measure.parts=30", "measure.networks=10", "measure.rounds=2", "measure.seconds=0.001")
    measured += ("space=space.yaml", "num_joints=3")
    command("search.profile", "name=d", "device=torch", *measured, cwd=tmp_path)

    wanted = ("supernet=s", "name=s", "budgets.largest_map=[60%,100%]", "budgets.names=[small,large]")
    wanted += ("latency=d",)
    few = ("strategy=cheapest", "search.evaluations=4", "search.batch=2", "search.baseline=0")
    command("search.run", *wanted, *few, "evaluation.calibration_images=2", cwd=tmp_path)
    found = json.loads((tmp_path / "runs/search/s/candidates.json").read_text())
    assert set(found["chosen"]) >= {"small"}
    assert all(
        candidate["costs"].keys() >= {"largest_map", "latency_ms"} for candidate in found["candidates"]
    )

    chosen = "runs/search/s:small"
    quick = ("format=[toy]", "export.latency_rounds=0", *data(tmp_path))
    command("subnets.export", f"arch={chosen}", "name=e", *quick, cwd=tmp_path)
    command("subnets.evaluate", "arch=runs/export/e", "runtime=toy", "name=v", *data(tmp_path), cwd=tmp_path)
    (network,) = json.loads((tmp_path / "runs/evaluate/v/results.json").read_text())["networks"]
    assert set(network["stats"]) == {"PCK10", "PCK5"}
    source = ("source=test", "predict.draw=false")
    command("subnets.predict", "arch=runs/export/e/model.npz", "name=p", *source, cwd=tmp_path)
    assert len(json.loads((tmp_path / "runs/predict/p/predictions.json").read_text())) == 3
