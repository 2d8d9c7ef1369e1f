"""Bar 4, first half: time the parts, the calibration networks and the held-out networks of one configuration.

    taskset -c 0 python experiments/latency/measure.py onnxruntime 1
    python experiments/latency/measure.py torch 2

Writes RUNTIME-THREADS.json beside this file: a latency table as search.profile writes it, whose networks are
the calibration networks followed by the held-out ones. All of them are visited in turn in every round.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from search.devices.options import DeviceOptions, MeasureOptions
from search.devices.profiling import make_design, measure_design
from search.strategies.operators import unique_rows
from supernet import SearchSpace
from supernet.runs.progress import ProgressBar

HERE = Path(__file__).resolve().parent
HELD_OUT = 60


def main() -> None:
    """Measure one configuration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runtime", choices=["torch", "onnxruntime"])
    parser.add_argument("threads", type=int)
    parser.add_argument("--parts", type=int, default=300)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--held-out", type=int, default=HELD_OUT)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=0.03)
    parser.add_argument("--folder", type=Path, default=HERE)
    given = parser.parse_args()
    space = SearchSpace.load("litepose")
    options = MeasureOptions(given.parts, given.networks, given.rounds, given.seconds)
    design = make_design(space, 14, options, seed=0)
    # Uniform over the choices, and none of them among the calibration networks.
    drawn = space.sample_codes(np.random.default_rng([0, 2]), given.held_out)
    codes = np.concatenate([design.codes, drawn])
    assert len(unique_rows(codes)) == len(codes)
    design = replace(design, codes=codes, archs=tuple(space.decode(codes)))
    device = DeviceOptions(runtime=given.runtime, threads=given.threads)
    total = given.rounds * (len(design.parts) + len(codes))
    with ProgressBar("measuring", total) as bar:
        measured = measure_design(space, 14, design, device, options, bar.update)
    measured.save(given.folder / f"{given.runtime}-{given.threads}.json")


if __name__ == "__main__":
    main()
