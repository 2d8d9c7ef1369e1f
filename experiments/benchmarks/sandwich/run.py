"""Time of a sandwich step (largest, smallest, two random subnets) against a step of the largest alone.

Both run in turns in one process, so that a busy machine slows both:

    python -m experiments.benchmarks.sandwich.run [--rounds 12] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from supernet import SearchSpace, Supernet
from supernet.cost import MacsTable
from supernet.data.targets import Targets
from supernet.heads.embedding import EMBEDDING
from supernet.heads.losses import PoseLoss
from supernet.runs.environment import environment
from supernet.sampling import SubnetSchedule
from supernet.training.options import LossOptions, OptimizerOptions, SamplingOptions
from supernet.training.state import FlatGradient, make_optimizer
from supernet.training.step import Part, backward_all

HERE = Path(__file__).resolve().parent

CASES = (("tiny", 128, 8), ("litepose", 256, 4))


def random_chunk(batch: int, side: int) -> Part:
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    joints = torch.randint(0, side // 4, (batch, 30, 14, 3), generator=generator)
    images = torch.randn((batch, 3, side, side), generator=generator)
    sides = (side // 4, side // 2)
    heats = tuple(rand(batch, 14, side, side) for side in sides)
    masks = tuple(torch.ones(batch, side, side) for side in sides)
    return images.contiguous(memory_format=torch.channels_last), Targets(heats, masks, joints)


def measure(name: str, side: int, batch: int, rounds: int) -> dict[str, object]:
    space = SearchSpace.load(name)
    net = Supernet(space).train()
    options = OptimizerOptions()
    optimizer, gradient = make_optimizer(net, options), FlatGradient(net.parameters())
    loss = PoseLoss(EMBEDDING, LossOptions(positive_weight=10.0))
    schedule = SubnetSchedule(space, SamplingOptions(resolutions=[side]))
    chunk = random_chunk(batch, side)

    def step(subnets) -> float:
        start = time.perf_counter()
        gradient.zero()
        backward_all(net, subnets, [chunk], loss)
        gradient.clip(options.clip)
        optimizer.step()
        return time.perf_counter() - start

    table = MacsTable(space, 14)
    largest, sandwich, ratios, work = [], [], [], []
    for round_ in range(-2, rounds):
        subnets = schedule.subnets(max(round_, 0))
        alone, all_four = step(subnets[:1]), step(subnets)
        if round_ >= 0:
            macs = table.predict(space.encode([subnet.arch for subnet in subnets]))
            largest.append(alone)
            sandwich.append(all_four)
            ratios.append(all_four / alone)
            work.append(float(np.sum(macs) / macs[0]))
        print(f"{name}@{side} {round_ + 1}/{rounds}: {alone:.3f} s, {all_four:.3f} s", flush=True)
    return {
        "space": name,
        "side": side,
        "batch": batch,
        "largest_seconds": round(statistics.median(largest), 4),
        "sandwich_seconds": round(statistics.median(sandwich), 4),
        "ratio_of_medians": round(statistics.median(sandwich) / statistics.median(largest), 3),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_min_max": [round(min(ratios), 3), round(max(ratios), 3)],
        "macs_ratio_mean": round(statistics.mean(work), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = [measure(*case, given.rounds) for case in CASES]
    result = {
        "command": f"python -m experiments.benchmarks.sandwich.run --rounds {given.rounds}",
        "machine": environment(given.threads),
        "rows": rows,
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
