"""One table and one picture over the runs of a sweep."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from .cli import launch
from .errors import InputError
from .options import CommandOptions
from .runs.files import atomic_path, write_text
from .runs.folders import CONFIG_FILE, read_config
from .runs.log import LOG, logged_metric, read_log

CSV_FILE = "sweep.csv"
PLOT_FILE = "sweep.png"
# What a table shows when a run has it, in this order, after the main metric of the validations.
TRAINING = (
    "loss/largest",
    "loss/smallest",
    "loss/subnet",
    "loss",
    "skipped",
    "images_per_second",
)
# Settings that always differ, or that change no result.
IGNORED = ("name",)


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep.

    Attributes:
        name: its folder's.
        settings: those that differ between the runs, by dotted key.
        steps: steps done.
        metrics: the last value of each metric; `best` is the best mean of the two ends' main metric.
        curves: per metric its (step, value) points.
    """

    name: str
    settings: dict[str, Any]
    steps: int
    metrics: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]


def read_sweep(folder: Path) -> list[SweepRun]:
    """The runs in the subfolders of `folder`.

    Raises:
        InputError: there is no run, or one of them cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"sweep folder {folder} does not exist; give the folder of a multirun (-m)")
    folders = sorted(f.parent for f in folder.glob(f"*/{CONFIG_FILE}") if (f.parent / LOG).exists())
    if not folders:
        raise InputError(f"{folder} holds no training runs; give the folder of a multirun (-m)")
    flat = [_flatten(read_config(f)) for f in folders]
    keys = dict.fromkeys(key for config in flat for key in config)
    varied = [k for k in keys if k not in IGNORED and len({str(config.get(k)) for config in flat}) > 1]
    return [_run(f, {k: config.get(k) for k in varied}) for f, config in zip(folders, flat, strict=True)]


def _run(folder: Path, settings: dict[str, Any]) -> SweepRun:
    curves: dict[str, list[tuple[int, float]]] = {}
    lines = read_log(folder / LOG)
    for line in lines:
        metric = logged_metric(line)
        is_validation = line.get("kind") == "validation"
        scored = (f"{metric}/largest", f"{metric}/smallest", metric) if is_validation else ()
        for name in (*scored, *TRAINING):
            if name in line:
                if not isinstance(line[name], int | float):
                    raise InputError(
                        f"log {folder / LOG}: {name}={line[name]!r} at step {line['step']} is no number"
                    )
                curves.setdefault(name, []).append((line["step"], float(line[name])))
    metrics = {name: points[-1][1] for name, points in curves.items()}
    pairs = [(f"{logged_metric(line)}/{end}" for end in ("largest", "smallest")) for line in lines]
    both = [
        (line[large] + line[small]) / 2
        for line, (large, small) in zip(lines, pairs, strict=True)
        if line.get("kind") == "validation" and large in line and small in line
    ]
    if both:
        metrics = {"best": max(both), **metrics}
    return SweepRun(folder.name, settings, max((line["step"] for line in lines), default=0), metrics, curves)


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, item in value.items():
        found |= _flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return found


def choose_metric(runs: Sequence[SweepRun], wanted: str | None) -> str:
    """The metric to rank by: `wanted`, else the first that all runs have.

    Raises:
        InputError: no run has `wanted`, or there is no common metric yet.
    """
    common = [name for name in _names(runs) if all(name in run.metrics for run in runs)]
    if wanted is None:
        if not common:
            raise InputError("the runs have no metric in common yet; wait for their first lines of log")
        return common[0]
    if not any(wanted in run.metrics for run in runs):
        raise InputError(f"metric={wanted!r} is in no run; choose one of {', '.join(common)}")
    return wanted


def ranked(runs: Sequence[SweepRun], metric: str) -> list[SweepRun]:
    """The runs, the best by `metric` first: losses ascending, others descending, those without it last."""
    sign = 1 if metric.startswith("loss") or metric == "skipped" else -1
    return sorted(runs, key=lambda run: sign * run.metrics.get(metric, sign * float("inf")))


def summary_table(runs: Sequence[SweepRun], metric: str) -> Table:
    """A row per run: the settings that differ, steps, metrics."""
    table = Table(title=f"{len(runs)} runs, best by {metric} first")
    rows = _rows(runs)
    for heading in rows[0]:
        # Settings by the last part of their key: the whole one is in the CSV.
        table.add_column(escape(heading.rpartition(".")[2]), justify="right")
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else escape(str(v)) for v in row.values()))
    return table


def write_csv(runs: Sequence[SweepRun], path: Path) -> None:
    """The table as CSV."""
    rows = _rows(runs)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _names(runs: Sequence[SweepRun]) -> list[str]:
    """The metrics that some run has, those of validations first."""
    found = dict.fromkeys(name for run in runs for name in run.metrics)
    return [*(n for n in found if n not in TRAINING), *(n for n in TRAINING if n in found)]


def _rows(runs: Sequence[SweepRun]) -> list[dict[str, Any]]:
    shown = _names(runs)
    return [
        {
            **(run.settings or {"run": run.name}),
            "steps": run.steps,
            **{name: run.metrics.get(name, "") for name in shown},
        }
        for run in runs
    ]


def draw_sweep(runs: Sequence[SweepRun], metric: str, path: Path) -> None:
    """Left the metric over the steps, right its last value, a line and a bar per run, best on top."""
    from matplotlib.figure import Figure

    largest = (n for run in runs for n in run.curves if n.endswith("/largest") and n not in TRAINING)
    curve = metric if any(metric in run.curves for run in runs) else next(largest, metric)
    figure = Figure(figsize=(11, max(3.2, 1.6 + 0.32 * len(runs))), layout="constrained")
    over_steps, last = figure.subplots(1, 2)
    labels = [_label(run) for run in runs]
    for place, (run, label) in enumerate(zip(runs, labels, strict=True)):
        colour = f"C{place % 10}"
        if run.curves.get(curve):
            over_steps.plot(
                *zip(*run.curves[curve], strict=True), color=colour, marker=".", linewidth=1.2, label=label
            )
        if metric in run.metrics:
            last.barh(place, run.metrics[metric], color=colour)
            last.annotate(
                f" {run.metrics[metric]:.4g}", (run.metrics[metric], place), va="center", fontsize=8
            )
    if curve.startswith("loss"):
        over_steps.set_yscale("log")
    over_steps.set(xlabel="step", ylabel=curve)
    over_steps.grid(alpha=0.3)
    last.set_yticks(range(len(runs)), labels, fontsize=8)
    last.invert_yaxis()
    last.margins(x=0.15)
    last.set_xlabel(metric)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _label(run: SweepRun) -> str:
    short = {key.rpartition(".")[2]: value for key, value in run.settings.items()}
    return ", ".join(f"{key}={value}" for key, value in short.items()) or run.name


# Of a table that goes to a file or another program.
PLAIN_WIDTH = 140


@dataclass
class SweepCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        runs: the folder of the multirun, such as runs/train/lr.
        metric: the metric to rank by; null takes the best AP if the runs were validated, else a loss.
    """

    runs: str = "???"
    metric: str | None = None


def main() -> None:
    """Run the command."""
    launch("sweep", SweepCommand, run)


def run(config: SweepCommand, folder: Path) -> None:
    """Print the table, write `sweep.csv` and `sweep.png` into the folder of the multirun."""
    from rich.console import Console

    sweep = Path(config.runs)
    runs = read_sweep(sweep)
    metric = choose_metric(runs, config.metric)
    runs = ranked(runs, metric)
    write_csv(runs, sweep / CSV_FILE)
    draw_sweep(runs, metric, sweep / PLOT_FILE)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(summary_table(runs, metric))
    console.print(f"written: {sweep / CSV_FILE}, {sweep / PLOT_FILE}", soft_wrap=True)


if __name__ == "__main__":
    main()
