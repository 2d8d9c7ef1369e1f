"""Pictures of a search, as PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..accuracy.predictor import RatedPredictor
from ..costs.contract import COSTS, Floats
from ..study.candidate import Candidate
from .outcome import GeneEffect, Outcome

GREY, BLUE, ORANGE, GREEN, RED = "#b8bec7", "#1f6feb", "#e8710a", "#2e9e5b", "#c5283d"


def accuracy_against_cost(outcome: Outcome, axis: str) -> bytes:
    """Every candidate, the front, the chosen subnets, the random baseline and the references."""
    figure, axes = new_figure(8.6, 5.2)
    scale, unit = _scale(axis, outcome)

    def draw(candidates: Sequence[Candidate], **style: object) -> None:
        xs = [candidate.costs[axis] / scale for candidate in candidates]
        axes.plot(xs, [100 * c.ap for c in candidates], linestyle="none", **style)  # type: ignore[arg-type]

    searched = [c for c in outcome.candidates if c.origin in ("search", "warm start")]
    draw(searched, marker="o", markersize=4, color=GREY, label=f"evaluated ({len(searched)})")
    drawn = [candidate for found in outcome.baseline.values() for candidate in found]
    if drawn:
        draw(drawn, marker="x", markersize=6, color=ORANGE, label=f"random baseline ({len(drawn)})", zorder=3)
    if outcome.references:
        released = list(outcome.references.values())
        draw(released, marker="D", markersize=6, color=GREEN, label="LitePose architectures", zorder=4)
    front = outcome.front_on(axis)
    xs, ys = [c.costs[axis] / scale for c in front], [100 * c.ap for c in front]
    several = len(outcome.problem.axes) > 1
    label = "front of this cost" if several else "front"
    axes.step(xs, ys, where="post", color=BLUE, linewidth=1.4, label=label, zorder=2)
    if several:
        draw(outcome.front, marker="o", markersize=4, color=BLUE, label="front of all costs", zorder=2)
    draw(list(outcome.chosen.values()), marker="*", markersize=15, color=RED, label="chosen", zorder=5)
    _name_all(axes, outcome, axis, scale)
    for budget in outcome.problem.budgets:
        for cost, limit in budget.limits:
            if cost == axis:
                axes.axvline(limit / scale, color=RED, linewidth=0.8, linestyle=":", alpha=0.6)
    axes.set_xlabel(unit)
    axes.set_ylabel(f"validation {outcome.metric} (%)")
    axes.margins(x=0.06, y=0.09)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9)
    return png(figure)


def _by_candidate(named: Mapping[str, Candidate]) -> list[tuple[Candidate, str]]:
    """Each candidate once, with all its names: one subnet may be the best of several budgets."""
    found: dict[int, list[str]] = {}
    for name, one in named.items():
        found.setdefault(one.number, []).append(name)
    return [(named[names[0]], ", ".join(names)) for names in found.values()]


def _name_all(axes: Axes, outcome: Outcome, axis: str, scale: float) -> None:
    """Names above the chosen and below the references, to the left where there is no room to the right."""

    def write(one: Candidate, text: str, color: str, offset: tuple[int, int], side: str) -> None:
        at = (one.costs[axis] / scale, 100 * one.ap)
        axes.annotate(
            text, at, xytext=offset, textcoords="offset points", ha=side, color=color, fontsize=9, zorder=6
        )

    for one, text in _by_candidate(outcome.chosen):
        write(one, text, RED, (0, 9), "center")
    named = _by_candidate({name.removeprefix("litepose-"): one for name, one in outcome.references.items()})
    named.sort(key=lambda item: item[0].costs[axis])
    near = 0.06 * np.ptp([one.costs[axis] for one in outcome.candidates]) if named else 0.0
    for place, (one, text) in enumerate(named):
        after = named[place + 1 :]
        left = not after or after[0][0].costs[axis] - one.costs[axis] < near
        write(one, text, GREEN, (-6 if left else 6, -12), "right" if left else "left")


def _scale(axis: str, outcome: Outcome) -> tuple[float, str]:
    largest = max((c.costs[axis] for c in outcome.candidates), default=1.0)
    scale, unit = COSTS.get(axis).scale(largest)
    label = f"{COSTS.get(axis).title} {unit}".strip()
    origin = outcome.problem.costs.origins().get(axis)
    return scale, f"{label} ({origin})" if origin else label


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of that many inches, with one set of axes."""
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    return figure, figure.subplots()


def png(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


MOST_GENES = 16


def predicted_against_measured(predictor: RatedPredictor, measured: Floats, metric: str) -> bytes:
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
    axes.set_xlabel(f"measured {metric} (%)")
    axes.set_ylabel(f"predicted {metric} (%), held out")
    axes.grid(alpha=0.25)
    return png(figure)


def gene_bars(effects: Sequence[GeneEffect], cost: str, metric: str) -> bytes:
    """The metric and cost that each gene moves, side by side: each has a scale of its own."""
    shown = list(effects)[:MOST_GENES][::-1]
    figure, _ = new_figure(8.0, 0.9 + 0.27 * len(shown))
    figure.clear()
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh([e.name for e in shown], [100 * e.ap for e in shown], color=BLUE)
    left.set_xlabel(f"{metric}, points")
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
