"""What a subnet's share of a sandwich step in `tiny` is made of, in CPU time of the process on one thread.

OMP_NUM_THREADS=1 python -m experiments.benchmarks.sandwich.breakdown
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from experiments.benchmarks.sandwich.run import CASES, random_chunk
from supernet import Arch, SearchSpace, Supernet
from supernet.cost import count_macs
from supernet.heads.embedding import EMBEDDING
from supernet.heads.losses import PoseLoss
from supernet.network import active_layers
from supernet.runs.environment import environment
from supernet.sampling import SubnetSchedule
from supernet.training.options import LossOptions, SamplingOptions
from supernet.training.step import Part

HERE = Path(__file__).resolve().parent
WARMUP, ROUNDS = 2, 9


def milliseconds(call: Callable[[], object]) -> float:
    taken = []
    for _ in range(WARMUP + ROUNDS):
        start = time.process_time()
        call()
        taken.append(1000 * (time.process_time() - start))
    return round(statistics.median(taken[WARMUP:]), 2)


def parts(net: Supernet, arch: Arch, chunk: Part, teacher: list[torch.Tensor]) -> dict[str, object]:
    """Median milliseconds of the network, of the loss with distillation, and of making the active weights."""
    images, targets = chunk
    loss = PoseLoss(EMBEDDING, LossOptions(positive_weight=10.0))
    heads = [head.detach().requires_grad_() for head in net(images, arch)]
    ones = [torch.ones_like(head) for head in heads]
    layers = active_layers(arch, net.num_joints)

    def weights() -> None:
        for name, layer in layers.items():
            conv = net.unit(name).conv
            if conv is not None:
                conv.active_weight(layer)

    return {
        "macs": count_macs(arch),
        "network": milliseconds(lambda: torch.autograd.backward(net(images, arch), ones)),
        "loss": milliseconds(lambda: loss(heads, targets, teacher)[0].backward()),
        "weights": milliseconds(weights),
    }


def main() -> None:
    torch.set_num_threads(1)
    name, side, batch = CASES[0]
    space = SearchSpace.load(name)
    net, chunk = Supernet(space).train(), random_chunk(batch, side)
    schedule = SubnetSchedule(space, SamplingOptions(resolutions=[side]))
    with torch.no_grad():
        teacher = net(chunk[0], space.largest())
    rows = [{"subnet": s.role, **parts(net, s.arch, chunk, teacher)} for s in schedule.subnets(0)]
    result = {"machine": environment(1), "milliseconds of CPU": rows}
    (HERE / "breakdown.json").write_text(json.dumps(result, indent=1) + "\n")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
