"""Forward, input gradient and each formulation of the weight gradient of a depthwise convolution, in turns.

    OMP_NUM_THREADS=1 taskset -c 0 python -m experiments.benchmarks.depthwise_grad.run [--rounds 15]

The first case is 96 channels, 64x64, kernel 7, batch 4, channels_last. Differences are relative to the
largest value of the gradient in double precision.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn import grad as torch_grad

from subnets.benchmark.timing import interleave
from supernet.native.functional import Formulation, depthwise_conv2d, weight_grad
from supernet.runs.environment import environment
from supernet.runs.files import write_json

HERE = Path(__file__).resolve().parent
# channels, side of the map, kernel, stride
CASES = ((96, 64, 7, 1), (96, 64, 5, 1), (96, 64, 3, 1), (96, 64, 7, 2), (192, 32, 7, 1), (480, 16, 7, 1))
BATCH = 4


def input_grad(x: Tensor, weight: Tensor, grad: Tensor, stride: int) -> Tensor:
    """The input gradient alone, as training takes it."""
    x = x.detach().requires_grad_()
    out = depthwise_conv2d(x, weight.requires_grad_(), stride, weight.shape[-1] // 2)
    return torch.autograd.grad(out, x, grad)[0]


def measure(channels: int, side: int, kernel: int, stride: int, rounds: int) -> dict[str, object]:
    """One case: milliseconds, and how far each formulation is from double precision."""
    generator = torch.Generator().manual_seed(0)
    padding = kernel // 2
    x = torch.randn(BATCH, channels, side, side, generator=generator).to(memory_format=torch.channels_last)
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator)
    out = F.conv2d(x, weight, stride=stride, padding=padding, groups=channels)
    grad = torch.randn(out.shape, generator=generator).to(memory_format=torch.channels_last)
    jobs = {
        "forward": partial(F.conv2d, x, weight, None, stride, padding, 1, channels),
        "forward and input gradient": partial(input_grad, x, weight, grad, stride),
    }
    forms = {
        name: partial(weight_grad, x, grad, kernel, stride, padding, name) for name in get_args(Formulation)
    }
    jobs |= {f"weight gradient, {name}": job for name, job in forms.items()}
    taken = {timing.name: timing.median for timing in interleave(jobs, rounds)}
    exact = torch_grad.conv2d_weight(
        x.double(), weight.shape, grad.double(), stride, padding, groups=channels
    )
    return {
        "channels": channels,
        "map": side,
        "kernel": kernel,
        "stride": stride,
        "ms": {name: round(value, 3) for name, value in taken.items()},
        "relative difference from double precision": {
            name: float((job().double() - exact).abs().max() / exact.abs().max())
            for name, job in forms.items()
        },
    }


def main() -> None:
    """Measure every case and write result.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(*case, given.rounds) for case in CASES]
    write_json(HERE / "result.json", {"schema": 1, "machine": environment(1), "batch": BATCH, "rows": rows})
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
