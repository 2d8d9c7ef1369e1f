"""Kendall's tau of `run.py`'s scores, its interval, and the picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import kendalltau

HERE = Path(__file__).resolve().parent
RESAMPLES = 5000


def interval(inherited: np.ndarray, finetuned: np.ndarray) -> tuple[float, float]:
    """95% interval of tau over resamples of the subnets (percentile bootstrap)."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(inherited), (RESAMPLES, len(inherited)))
    taus = [kendalltau(inherited[rows], finetuned[rows]).statistic for rows in drawn]
    low, high = np.nanpercentile(taus, [2.5, 97.5])
    return round(float(low), 2), round(float(high), 2)


def agreeing(inherited: np.ndarray, finetuned: np.ndarray, gap: float) -> tuple[int, int]:
    """Pairs whose inherited APs are `gap` or more apart: those that fine-tuning leaves in order, and all."""
    left, right = np.triu_indices(len(inherited), 1)
    before, after = inherited[left] - inherited[right], finetuned[left] - finetuned[right]
    apart = np.abs(before) >= gap
    return int((before * after > 0)[apart].sum()), int(apart.sum())


def draw(rows: Sequence[Mapping[str, Any]], tau: float, path: Path) -> None:
    figure = Figure(figsize=(4.8, 4.2), layout="constrained")
    axes = figure.subplots()
    before, after = ([100 * row[key] for row in rows] for key in ("inherited", "finetuned"))
    points = axes.scatter(before, after, c=[row["macs"] / 1e6 for row in rows], cmap="viridis")
    figure.colorbar(points, label="exact MACs (millions)")
    axes.axline((0, 0), slope=1, color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="test AP, inherited weights (%)", ylabel="test AP, fine-tuned (%)")
    axes.set_title(f"Kendall tau {tau:.2f} over {len(rows)} subnets", fontsize=10)
    bounds = min(before + after) - 2, max(before + after) + 2
    axes.set(xlim=bounds, ylim=bounds)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=130)


def report(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Write NAME.json and NAME.png beside this file; tau with its interval."""
    before, after = (np.array([row[key] for row in rows]) for key in ("inherited", "finetuned"))
    tau = kendalltau(before, after)
    found = {
        "kendall_tau": round(float(tau.statistic), 3),
        "interval_95": interval(before, after),
        "p_value": float(tau.pvalue),
        "pairs_in_order_by_gap": {str(gap): agreeing(before, after, gap) for gap in (0.0, 0.01, 0.02)},
        "mean_gain": round(float((after - before).mean()), 4),
    }
    (HERE / f"{name}.json").write_text(json.dumps({**about, **found, "rows": rows}, indent=1) + "\n")
    draw(rows, float(tau.statistic), HERE / f"{name}.png")
    return found
