"""One picture per ablation: AP of every network and seed, and the paired differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from supernet.runs.files import atomic_path

MARKS = "osD^v"


def draw(path: Path, arms: list[dict[str, Any]], claims: list[dict[str, Any]]) -> None:
    """Left: AP by network, one line per seed, their mean as a bar. Right: differences with both intervals."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    names = [f"{arm['arm']}\n{arm['macs'] / 1e6:.1f} M" for arm in arms]
    for seed in sorted({seed for arm in arms for seed in arm["seed"]}):
        points = [
            (i, 100 * arm["AP"][arm["seed"].index(seed)]) for i, arm in enumerate(arms) if seed in arm["seed"]
        ]
        left.plot(*zip(*points, strict=True), MARKS[seed % len(MARKS)] + "-", lw=0.8, label=f"seed {seed}")
    means = [100 * sum(arm["AP"]) / len(arm["AP"]) for arm in arms]
    left.bar(range(len(arms)), means, color="0.9", zorder=0)
    left.set_xticks(range(len(arms)), names)
    left.set(ylabel="AP on rendered val crowds, %", title="network and exact MACs")
    left.set_ylim(0, 1.2 * max(100 * value for arm in arms for value in arm["AP"]))
    left.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    for i, claim in enumerate(claims):
        value = 100 * claim["difference"]
        for key, shift, colour in (("over_images", -0.12, "C0"), ("over_seeds", 0.12, "C1")):
            low, high = (100 * end for end in claim[key])
            right.plot([low, high], [i + shift] * 2, color=colour, lw=2)
            label = key.replace("_", " ") if i == 0 else None
            right.plot([value], [i + shift], "o", color=colour, label=label)
    if claims:
        right.legend(frameon=False, fontsize=8)
        right.set_ylim(len(claims) - 0.5, -0.5)
    right.axvline(0, color="0.5", lw=0.8)
    right.set_yticks(range(len(claims)), [f"{c['first']} to\n{c['second']}" for c in claims])
    right.set(xlabel="points of AP gained, 95% intervals", title="second network minus first")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)
