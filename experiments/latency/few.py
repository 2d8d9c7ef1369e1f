"""Latency from few measured networks: each recorded table as the prior of each, and with parts of its own.

    python -m experiments.latency.few

Ten or twenty of a table's networks are fitted to; the others are predicted. Writes `few.json`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from search.costs.latency import LatencyCheck, LatencyTable, fit_parts
from search.devices.measurements import Measurements, middle, retest_spread
from supernet.runs.files import write_json

HERE = Path(__file__).resolve().parent
NAMES = ("onnxruntime-1", "onnxruntime-2", "torch-1", "torch-2")
NETWORKS = (10, 20)
DRAWS = 2


def main() -> None:
    raw = {name: Measurements.load(HERE / f"{name}.json") for name in NAMES}
    tables = {name: one.steady() for name, one in raw.items()}
    models = {name: fit_parts(one) for name, one in tables.items()}
    rows = []
    for parts_of in NAMES:
        for device in NAMES:
            new = tables[device]
            for count in NETWORKS:
                checks = []
                for draw in range(DRAWS):
                    order = np.random.default_rng(draw).permutation(len(new.codes))
                    fitted, held = order[:count], order[count:]
                    codes, times = new.codes[fitted], new.networks[fitted]
                    measured = replace(new, codes=codes, networks=times)
                    if parts_of != device:
                        measured = raw[parts_of].on_another_device(new.space, codes, times, new.about)
                    found = LatencyTable(measured, model=models[parts_of]).predict(new.codes[held])
                    times = new.networks[held]
                    checks.append(LatencyCheck(new.about, found, middle(times), retest_spread(times)))
                within = float(np.mean([check.within for check in checks]))
                tau = float(np.mean([check.tau for check in checks]))
                rows.append(
                    {"parts of": parts_of, "device": device, "networks": count, "within": within, "tau": tau}
                )
                print(f"| {parts_of} | {device} | {count} | {100 * within:.0f}% | {tau:.3f} |", flush=True)
    write_json(HERE / "few.json", {"schema": 1, "draws": DRAWS, "rows": rows})


if __name__ == "__main__":
    main()
