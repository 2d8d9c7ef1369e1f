"""Test AP of the trained supernets of `run.py`: a table and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.training.scoring import between, evaluator
from supernet import Arch
from supernet.cost import count_macs
from supernet.runs.environment import environment
from supernet.runs.files import read_json, write_json
from supernet.runs.log import read_log
from supernet.space import SearchSpace
from supernet.training.checkpoint import load_supernet

HERE = Path(__file__).resolve().parent
# Shares of the largest network's MACs between which the middle subnets lie.
LOW, HIGH = 0.25, 0.85
STYLES = {
    "sandwich": ("largest first, then sandwich + distillation", "o-"),
    "random": ("largest first, then one random subnet per step", "s--"),
    "scratch": ("one random subnet per step from the start", "^:"),
}


def chosen_subnets(space: SearchSpace) -> dict[str, Arch]:
    """Smallest, three random ones of different size, largest."""
    archs = space.decode(space.sample_codes(np.random.default_rng(7), 400))
    middle = between(archs, [count_macs(arch) for arch in archs], LOW, HIGH, 3)
    named = {f"middle {i}": arch for i, arch in enumerate(middle, start=1)}
    return {"smallest": space.smallest(), **named, "largest": space.largest()}


def scores_file(run: Path, matching: str | None = None) -> Path:
    """What the subnets of a run scored, kept in its folder."""
    return run / ("equal_time.json" if matching is None else f"equal_time_{matching}.json")


def scores(run: Path, matching: str | None = None) -> dict[str, Any]:
    """Test AP of the chosen subnets of a run by a rule of grouping, and its steps; kept in its folder."""
    file = scores_file(run, matching)
    if not file.exists():
        trained = load_supernet(run, "last")
        score = evaluator(trained, "test", matching=matching)
        found = {}
        for name, arch in chosen_subnets(trained.space).items():
            found[name] = round(score(arch).stats["AP"], 4)
            print(run.name, name, found[name], flush=True)
        lines = [line for line in read_log(run / "log.jsonl") if line["kind"] == "train"]
        write_json(file, {"AP": found, "steps": trained.step, "skipped": lines[-1]["skipped"]})
    return dict(read_json(file, "scores"))


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    macs = [row["macs"] / 1e6 for row in rows]
    for arm in [arm for arm in STYLES if arm in rows[0]]:
        label, style = STYLES[arm]
        each = 100 * np.array([row[arm] for row in rows])
        (line,) = axes.plot(macs, each.mean(axis=1), style, label=label)
        axes.plot(macs, each, ".", color=line.get_color(), alpha=0.5)
    axes.margins(y=0.1)
    axes.set(xlabel="exact MACs (millions)", ylabel="test AP (%)", xlim=(0, None))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def report(runs: Mapping[str, Sequence[Path]], about: Mapping[str, Any], name: str) -> None:
    """Score all `runs` by arm, and write NAME.json and NAME.png beside this file."""
    found = {arm: [scores(run) for run in folders] for arm, folders in runs.items()}
    space = SearchSpace.load(next(iter(runs.values()))[0] / "space.yaml")
    rows = [
        {
            "subnet": name,
            "resolution": arch.resolution,
            "macs": count_macs(arch),
            **{arm: [one["AP"][name] for one in each] for arm, each in found.items()},
        }
        for name, arch in chosen_subnets(space).items()
    ]
    steps = {arm: [{key: one[key] for key in ("steps", "skipped")} for one in found[arm]] for arm in found}
    result = {"machine": environment(1), **about, "steps": steps, "test AP": rows}
    (HERE / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(rows, HERE / f"{name}.png")
    for row in rows:
        print(row["subnet"], *(f"{arm} {100 * np.mean(row[arm]):.1f}" for arm in found))
