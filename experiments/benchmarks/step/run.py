"""Time and memory of one training step (forward, loss, backward, Adam) of one architecture, batch 4, float32.

    OMP_NUM_THREADS=1 taskset -c 0 python -m experiments.benchmarks.step.run [--rounds 5]

Three ways of the same step run in turns in one process: as training does it (channels_last, C++ kernels),
with torch's kernels alone in channels_last, and with torch's kernels in contiguous format. Peak memory comes
from a process of its own for each case and way, the breakdown from torch's profiler in a further step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from experiments.benchmarks.sandwich.run import random_chunk
from subnets import Subnet
from subnets.benchmark.timing import interleave
from supernet import Arch, SearchSpace
from supernet.heads.embedding import EMBEDDING
from supernet.heads.losses import PoseLoss
from supernet.native import functional
from supernet.runs.environment import environment
from supernet.runs.files import write_json
from supernet.sampling import Sampled
from supernet.training.options import LossOptions, OptimizerOptions
from supernet.training.state import FlatGradient, make_optimizer
from supernet.training.step import backward_all

HERE = Path(__file__).resolve().parent
BATCH, JOINTS = 4, 14
CASES = {"litepose-xs at 256": (256, True), "largest at 256": (256, False), "largest at 512": (512, False)}
WAYS = ("ours", "torch, channels_last", "torch, contiguous")


def architecture(side: int, smallest: bool) -> Arch:
    """LitePose-XS, or the largest network of `space=litepose` at `side`."""
    if smallest:
        return Arch.load("litepose-xs")
    largest = SearchSpace.load("litepose").largest()
    return Arch.from_dict(largest.to_dict() | {"resolution": side})


@contextlib.contextmanager
def torch_kernels() -> Iterator[None]:
    """No kernel of ours within: torch does every gradient and every norm."""
    kept = functional.choose, functional.library
    functional.choose = lambda kernel, stride: "torch"
    functional.library = lambda: None
    try:
        yield
    finally:
        functional.choose, functional.library = kept


def make_step(arch: Arch, side: int, way: str) -> Callable[[], None]:
    """One training step of the network of `arch`."""
    net = Subnet(arch, JOINTS).train()
    options = OptimizerOptions()
    optimizer, gradient = make_optimizer(net, options), FlatGradient(net.parameters())
    loss = PoseLoss(EMBEDDING, LossOptions(positive_weight=10.0))
    chunk = random_chunk(BATCH, side)
    if way.endswith("contiguous"):
        chunk = (chunk[0].contiguous(), chunk[1])

    def step() -> None:
        with contextlib.nullcontext() if way == "ours" else torch_kernels():
            gradient.zero()
            backward_all(lambda images, _: net(images), [Sampled("largest", arch)], [chunk], loss)
            gradient.clip(options.clip)
            optimizer.step()

    return step


def peak_gib(case: str, way: str) -> float:
    """Peak resident memory of a process that makes three steps."""
    command = [sys.executable, "-m", "experiments.benchmarks.step.run", "--memory", case, way]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def high_water_gib() -> float:
    """Peak resident memory of this process; `ru_maxrss` would hold that of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def breakdown(step: Callable[[], None], shown: int = 8) -> dict[str, float]:
    """Milliseconds of the operations that take longest."""
    with torch.profiler.profile() as profile:
        step()
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    return {event.key: round(event.self_cpu_time_total / 1000, 1) for event in events[:shown]}


def measure(case: str, rounds: int) -> dict[str, Any]:
    """Seconds and memory of every way of one case."""
    side, smallest = CASES[case]
    arch = architecture(side, smallest)
    steps = {way: make_step(arch, side, way) for way in WAYS}
    taken = {t.name: t.milliseconds for t in interleave(steps, rounds, warmup=1)}
    medians = {way: statistics.median(values) / 1000 for way, values in taken.items()}
    return {
        "case": case,
        "seconds": {way: round(value, 3) for way, value in medians.items()},
        "fastest seconds": {way: round(min(values) / 1000, 3) for way, values in taken.items()},
        "contiguous / ours": round(medians[WAYS[2]] / medians[WAYS[0]], 2),
        "peak GiB": {way: round(peak_gib(case, way), 2) for way in (WAYS[0], WAYS[2])},
        "ms by operation, ours": breakdown(steps["ours"]),
    }


def main() -> None:
    """Measure every case, or (with --memory) print one process's peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", nargs=2, metavar=("CASE", "WAY"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.memory:
        case, way = given.memory
        step = make_step(architecture(*CASES[case]), CASES[case][0], way)
        for _ in range(3):
            step()
        print(high_water_gib())
        return
    rows = []
    for case in CASES:
        rows.append(measure(case, given.rounds))
        print(json.dumps(rows[-1]), flush=True)
    write_json(HERE / "result.json", {"schema": 1, "machine": environment(1), "batch": BATCH, "rows": rows})


if __name__ == "__main__":
    main()
