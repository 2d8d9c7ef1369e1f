"""Latency from few measured networks: each recorded table as the prior of each, and with parts of its own.

    python -m experiments.latency.few

Ten or twenty of a table's networks are fitted to; the others are predicted. Another table's parts stand
alone, or corrected by the device's own times of those 60 that tell most, as `device.prior` does. Writes
`few.json`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from search.costs.latency import LatencyCheck, LatencyTable, fit_parts, measured_parts
from search.costs.parts import CorrectedModel, PartModel, telling_parts
from search.devices.measurements import Measurements, middle, retest_spread
from search.devices.profiling import FEW_PARTS, largest_parts, part_counts
from supernet.runs.files import write_json

HERE = Path(__file__).resolve().parent
NAMES = ("onnxruntime-1", "onnxruntime-2", "torch-1", "torch-2")
NETWORKS = (10, 20)
DRAWS = 3


def predicted_well(
    new: Measurements, measured: Measurements, model: PartModel, count: int
) -> dict[str, float]:
    """Share within the larger of 10% and twice the spread, and tau, means over draws of `count` networks."""
    checks = []
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(new.codes))
        fitted, held = order[:count], order[count:]
        some = replace(measured, codes=new.codes[fitted], networks=new.networks[fitted])
        found = LatencyTable(some, model=model).predict(new.codes[held])
        times = new.networks[held]
        checks.append(LatencyCheck(new.about, found, middle(times), retest_spread(times)))
    return {key: float(np.mean([getattr(check, key) for check in checks])) for key in ("within", "tau")}


def main() -> None:
    raw = {name: Measurements.load(HERE / f"{name}.json") for name in NAMES}
    tables = {name: one.steady() for name, one in raw.items()}
    models = {name: fit_parts(one) for name, one in tables.items()}
    rows = []
    for parts_of in NAMES:
        parts = measured_parts(tables[parts_of])
        counts = part_counts(largest_parts(raw[parts_of].space, 14), FEW_PARTS)
        telling = telling_parts(parts, counts)
        for device in NAMES:
            new = tables[device]
            for places in ([],) if parts_of == device else ([], telling):
                measured, model = new, models[parts_of]
                if parts_of != device:
                    measured = raw[parts_of].on_another_device(new.space, new.codes, new.networks, new.about)
                if places:
                    own = [parts[i] for i in places]
                    model = CorrectedModel(model, parts, own, middle(new.parts[places]))
                for count in NETWORKS:
                    found = predicted_well(new, measured, model, count)
                    rows.append(
                        {
                            "parts of": parts_of,
                            "device": device,
                            "own parts": len(places),
                            "networks": count,
                            **found,
                        }
                    )
                    print("|", " | ".join(map(str, rows[-1].values())), "|", flush=True)
    write_json(HERE / "few.json", {"schema": 1, "draws": DRAWS, "rows": rows})


if __name__ == "__main__":
    main()
