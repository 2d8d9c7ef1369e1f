"""Pictures of what a search tells besides its front, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np

from .accuracy import AccuracyPredictor
from .analysis import GeneEffect
from .costs import Floats
from .plots import BLUE
from .plots import GREY
from .plots import ORANGE
from .plots import new_figure
from .plots import png

MOST_GENES = 16


def predicted_against_measured(predictor: AccuracyPredictor, measured: Floats) -> bytes:
    """Scatter of held-out predictions."""
    figure, axes = new_figure(5.2, 4.8)
    both = 100 * np.concatenate([predictor.held_out, measured])
    ends = [both.min(), both.max()]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    axes.plot(100 * measured, 100 * predictor.held_out, "o", color=BLUE, markersize=3.5, alpha=0.7)
    low, high = predictor.quality.tau_interval
    axes.set_title(
        f"{predictor.model}: tau {predictor.quality.tau:.2f} ({low:.2f} to {high:.2f})", fontsize=10
    )
    axes.set_xlabel("measured AP (%)")
    axes.set_ylabel("predicted AP (%), held out")
    axes.grid(alpha=0.25)
    return png(figure)


def gene_bars(effects: Sequence[GeneEffect], cost: str) -> bytes:
    """AP and cost that each gene moves, side by side: each has a scale of its own."""
    shown = list(effects)[:MOST_GENES][::-1]
    figure, (left, right) = plt.subplots(
        1, 2, sharey=True, figsize=(8.0, 0.9 + 0.27 * len(shown)), dpi=120, layout="constrained"
    )
    left.barh([e.name for e in shown], [100 * e.ap for e in shown], color=BLUE)
    left.set_xlabel("AP, points")
    right.barh([e.name for e in shown], [100 * e.cost for e in shown], color=ORANGE)
    right.set_xlabel(f"{cost}, % of the range")
    for axes in (left, right):
        axes.grid(alpha=0.25, axis="x")
    return png(figure)


def progress(volumes: Floats, rounds: Sequence[int]) -> bytes:
    """Hypervolume over evaluations; a line where each round began."""
    figure, axes = new_figure(6.8, 3.4)
    count = np.arange(1, len(volumes) + 1)
    for i in range(1, len(rounds)):
        if rounds[i] != rounds[i - 1]:
            axes.axvline(i + 0.5, color=GREY, linewidth=0.6)
    axes.step(count, 100 * volumes, where="post", color=BLUE)
    axes.set_xlabel("evaluations")
    axes.set_ylabel("hypervolume (% of the last)")
    axes.grid(alpha=0.25, axis="y")
    return png(figure)
