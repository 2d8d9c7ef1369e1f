"""A cost of a plugin, a maximum: budgets of it by the real command, against every network of the space."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supernet import Arch, SearchSpace
from supernet.family import layers
from supernet.memory import peak_memory

pytest.importorskip("torch")
Command = Callable[..., Any]


def largest_map(arch: Arch) -> int:
    return max(4 * one.out_channels * (arch.resolution // one.scale) ** 2 for one in layers(arch, 14))


@pytest.fixture(scope="module")
def supernet(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cost")
    data = ["data.render.train=8", "data.render.val=4", "data.render.test=1", "data.render.size=64"]
    small = ["train.steps=1", "train.batch_size=2", "train.sampling.resolutions=[64]", "data.workers=0"]
    command("supernet.train", "name=t", "space=nano", "data=synthetic", *data, *small, cwd=folder)
    return folder


def test_budgets_of_a_maximum(command: Command, supernet: Path) -> None:
    fast = ["strategy=random", "search.evaluations=4", "search.batch=4", "search.baseline=1"]
    budgets = ["budgets.largest_map=[300k,60%,litepose-xs]", "budgets.macs=[70%]", "budgets.ram=[200k]"]
    command("search.run", "name=s", "supernet=t", *fast, *budgets, cwd=supernet)
    folder = supernet / "runs" / "search" / "s"
    found = json.loads((folder / "candidates.json").read_text())
    limits = {budget["name"]: budget["limits"] for budget in found["budgets"]}
    space = SearchSpace.load("nano")
    every = space.decode(space.encode([space.largest()]))
    assert limits == {
        "70pct": {"macs": limits["70pct"]["macs"]},
        "200k-ram": {"ram": 200_000},
        "300k-largest_map": {"largest_map": 300_000},
        "60pct-largest_map": {"largest_map": 0.6 * largest_map(every[0])},
        "litepose-xs-largest_map": {"largest_map": largest_map(Arch.load("litepose-xs"))},
    }
    for candidate in found["candidates"]:
        (arch,) = space.decode(np.array([candidate["codes"]]))
        assert candidate["costs"]["largest_map"] == largest_map(arch)
        assert candidate["costs"]["ram"] == peak_memory(arch, 14, "int8", (arch.resolution, arch.resolution))
    chosen = found["candidates"][found["chosen"]["60pct-largest_map"]]
    assert chosen["costs"]["largest_map"] <= limits["60pct-largest_map"]["largest_map"]
    report = (folder / "report.html").read_text()
    assert "300 k bytes" in report
    assert "200 kB" in report
    assert (folder / "accuracy_largest_map.png").exists()


def test_an_infeasible_budget_is_one_line(command: Command, supernet: Path) -> None:
    done = command("search.run", "name=x", "supernet=t", "budgets.largest_map=[1k]", ok=False, cwd=supernet)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "is below the smallest subnet of space 'nano'; reachable: " in done.stderr


def test_the_table_is_the_maximum_over_the_layers() -> None:
    from toy import LargestMap

    from search.costs.contract import CostSettings

    for name in ("nano", "litepose_expand"):
        space = SearchSpace.load(name)
        codes = space.sample_codes(np.random.default_rng(0), 60)
        table = LargestMap().table(space, CostSettings())
        assert table.predict(codes).tolist() == [largest_map(arch) for arch in space.decode(codes)]
