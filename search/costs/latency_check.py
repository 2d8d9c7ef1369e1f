"""How well a latency table predicts networks that it was not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..accuracy.predictor import tau_of
from ..devices.measurements import Measurements, middle, retest_spread
from .latency import Floats, LatencyTable, fit_parts

FOLDS = 4
# A prediction counts as right within the larger of this and twice the spread between rounds.
WITHIN = 0.10


@dataclass(frozen=True)
class LatencyCheck:
    """Predicted against measured times of whole networks.

    Attributes:
        about: the table's facts.
        predicted, measured: (N,) milliseconds.
        spread: (N,) relative test-retest spread.
    """

    about: Mapping[str, Any]
    predicted: Floats
    measured: Floats
    spread: Floats

    @property
    def errors(self) -> Floats:
        """(N,) relative errors, with sign."""
        return np.asarray(self.predicted / self.measured - 1)

    @property
    def within(self) -> float:
        """Share of networks predicted within the larger of 10% and twice their spread."""
        return float((np.abs(self.errors) <= np.maximum(WITHIN, 2 * self.spread)).mean())

    @property
    def tau(self) -> float:
        """Kendall tau."""
        return tau_of(self.predicted, self.measured)

    def shown(self) -> str:
        """One line."""
        error = 100 * np.abs(self.errors)
        return (
            f"{len(self.measured)} networks that the fit did not see: error {np.median(error):.1f}% median, "
            f"{np.quantile(error, 0.95):.1f}% at the 95th percentile; {100 * self.within:.0f}% within the "
            f"larger of 10% and twice the test-retest spread (median {100 * np.median(self.spread):.1f}%); "
            f"tau {self.tau:.3f}"
        )


def check_table(measured: Measurements) -> LatencyCheck:
    """Cross-validated: every network is predicted by a table that was fitted without it."""
    count = len(measured.codes)
    predicted = np.empty(count)
    order = np.random.default_rng(0).permutation(count)
    model = fit_parts(measured)
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        rest = np.setdiff1d(order, held)
        some = replace(measured, codes=measured.codes[rest], networks=measured.networks[rest])
        predicted[held] = LatencyTable(some, model=model).predict(measured.codes[held])
    return LatencyCheck(
        measured.about, predicted, middle(measured.networks), retest_spread(measured.networks)
    )


def check_against(table: LatencyTable, held_out: Measurements) -> LatencyCheck:
    """Against networks measured apart."""
    predicted = table.predict(held_out.codes)
    return LatencyCheck(table.about, predicted, middle(held_out.networks), retest_spread(held_out.networks))


def draw_check(check: LatencyCheck) -> bytes:
    """Predicted against measured, as PNG."""
    from ..report.plots import new_figure, png

    figure, axes = new_figure(5.4, 5.2)
    plot_check(axes, check)
    return png(figure)


def plot_check(axes: Any, check: LatencyCheck) -> None:
    """Predicted against measured, into matplotlib axes."""
    from matplotlib.ticker import LogLocator, NullFormatter

    from ..report.plots import BLUE, GREY

    ends = [
        0.9 * min(check.measured.min(), check.predicted.min()),
        1.1 * max(check.measured.max(), check.predicted.max()),
    ]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    axes.fill_between(
        ends, [0.9 * e for e in ends], [1.1 * e for e in ends], color=GREY, alpha=0.3, label="10%"
    )
    axes.plot(check.measured, check.predicted, "o", color=BLUE, markersize=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("measured (ms)")
    axes.set_ylabel("predicted (ms)")
    axes.set_title(f"{check.about.get('runtime')}, threads: {check.about.get('threads')}", fontsize=10)
    axes.grid(alpha=0.25, which="both")
    axes.legend(loc="lower right")
