"""Bar 4, second half: fit each table to its calibration networks and predict the held-out ones.

    python experiments/latency/check.py

Reads RUNTIME-THREADS.json, writes results.json, held_out.csv and latency.png beside this file.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from search.accuracy.predictor import tau_of
from search.costs.latency import LatencyCheck, LatencyTable, check_against, check_table, plot_check
from search.devices.measurements import Measurements, middle, retest_spread
from supernet.runs.files import write_json

CALIBRATION = 40


def check(measured: Measurements) -> tuple[LatencyTable, LatencyCheck]:
    """The table of the calibration networks, against the others."""
    first, rest = (
        replace(measured, codes=measured.codes[some], networks=measured.networks[some])
        for some in (slice(CALIBRATION), slice(CALIBRATION, None))
    )
    table = LatencyTable(first)
    return table, check_against(table, rest)


def errors_of(measured: Measurements, table: LatencyTable, checked: LatencyCheck) -> dict[str, object]:
    """What the bar asks for, and what the device itself allows."""
    error = np.abs(checked.errors)
    times = measured.networks[CALIBRATION:]
    half = times.shape[1] // 2
    first, second = middle(times[:, :half]), middle(times[:, half:])
    every = check_table(measured)
    return {
        "about": dict(checked.about),
        "held_out": len(error),
        "within_10_percent_or_twice_spread": checked.within,
        "within_10_percent": float((error <= 0.1).mean()),
        "tau": checked.tau,
        "median_error": float(np.median(error)),
        "p95_error": float(np.quantile(error, 0.95)),
        "largest_error": float(error.max()),
        "tau_of_two_halves_of_the_rounds": tau_of(first, second),
        "cross_validated_over_all_networks": {
            "networks": len(every.measured),
            "within_10_percent_or_twice_spread": every.within,
            "tau": every.tau,
        },
        "bias": float(np.median(checked.errors)),
        "median_spread": float(np.median(checked.spread)),
        "p95_spread": float(np.quantile(checked.spread, 0.95)),
        "median_spread_of_parts": float(np.median(retest_spread(measured.parts))),
        "milliseconds": [float(checked.measured.min()), float(checked.measured.max())],
        "factors": table.factors,
    }


def main() -> None:
    """Check every configuration that was measured."""
    here = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    results: dict[str, dict[str, object]] = {}
    rows = []
    figure, grid = plt.subplots(2, 2, figsize=(9.6, 9.2), layout="constrained")
    for file, axes in zip(sorted(here.glob("*-[0-9].json")), grid.flat, strict=False):
        raw = Measurements.load(file)
        measured = raw.steady()
        table, checked = check(measured)
        results[file.stem] = errors_of(measured, table, checked)
        results[file.stem]["without_steady"] = {
            "tau": check(raw)[1].tau,
            "median_spread": float(np.median(retest_spread(raw.networks[CALIBRATION:]))),
        }
        plot_check(axes, checked)
        print(f"{file.stem}: {checked.shown()}")
        for times in zip(checked.measured, checked.predicted, checked.spread, strict=True):
            rows.append([file.stem, *(f"{value:.4f}" for value in times)])
    figure.savefig(here / "latency.png", dpi=90)
    write_json(here / "results.json", results)
    with open(here / "held_out.csv", "w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["configuration", "measured_ms", "predicted_ms", "spread"])
        writer.writerows(rows)


if __name__ == "__main__":
    main()
