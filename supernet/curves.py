"""The loss curve of a run as a picture."""

from __future__ import annotations

from pathlib import Path

from .files import atomic_path
from .run_log import read_log

SUBNETS = ("largest", "random", "smallest", "subnet")


def draw_curves(folder: Path) -> Path | None:
    """Draw `curves.png` from the log of the run in `folder`; None when the log is still empty."""
    from matplotlib.figure import Figure

    lines = read_log(folder / "log.jsonl")
    training = [line for line in lines if line["kind"] == "train"]
    scores = [line for line in lines if line["kind"] == "validation"]
    if not training:
        return None
    figure = Figure(figsize=(9, 3.4) if scores else (5, 3.4), layout="constrained")
    axes = figure.subplots(1, 2 if scores else 1, squeeze=False)[0]
    for name in SUBNETS:
        key = f"loss/{name}"
        points = [(line["step"], line[key]) for line in training if key in line]
        if points:
            axes[0].plot(*zip(*points, strict=True), label=name, linewidth=1.2)
    axes[0].set(xlabel="step", ylabel="training loss", yscale="log")
    if scores:
        names = [name for name in scores[-1] if name.startswith("AP")]
        for name in names:
            points = [(line["step"], 100 * line[name]) for line in scores if name in line]
            axes[1].plot(
                *zip(*points, strict=True),
                label=name.removeprefix("AP/"),
                marker="o",
                markersize=3,
                linewidth=1.2,
            )
        axes[1].set(xlabel="step", ylabel="validation AP (%)", ylim=(0, None))
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
        axis.grid(alpha=0.3)
    path = folder / "curves.png"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)
    return path
