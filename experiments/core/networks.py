"""Audit: extraction bit for bit, fusion and channel sorting within rounding, at full resolution.

python experiments/core/networks.py         # writes networks.json beside this file
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from subnets import extract
from subnets.network import fuse
from supernet import Arch, SearchSpace, Supernet
from supernet.evaluation import calibrate
from supernet.runs.files import write_json
from supernet.sorting import channel_groups, importance, sort_channels


def disturbed(space: SearchSpace, seed: int) -> Supernet:
    """A supernet none of whose norms and kernel transforms is the identity."""
    net = Supernet(space, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "transforms" in name or ".norm." in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return net


def images(batch: int, side: int, seed: int) -> Tensor:
    """Noise with the statistics of normalised images."""
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def difference(left: list[Tensor], right: list[Tensor]) -> float:
    """Largest difference relative to the largest value, over both outputs."""
    pairs = zip(left, right, strict=True)
    return max(((a - b).abs().max() / a.abs().max()).item() for a, b in pairs)


def extraction(space: SearchSpace, number: int, seed: int) -> dict[str, object]:
    """Random architectures with their own statistics: extracted, and fused."""
    net = disturbed(space, seed)
    archs = space.decode(space.sample_codes(np.random.default_rng(seed), number))
    equal, fused = [], []
    for index, arch in enumerate(track(archs, description=f"extraction {space.name}")):
        calibrate(net, arch, [images(2, 256, 2 * index)])
        sub = extract(net, arch)
        x = images(1, arch.resolution, 2 * index + 1)
        active, static = net(x, arch), sub(x)
        equal.append(all(torch.equal(a, b) for a, b in zip(active, static, strict=True)))
        fused.append(difference(active, fuse(sub)(x)))
    return {
        "architectures": number,
        "bit_equal": sum(equal),
        "fused_worst": max(fused),
        "fused_median": float(np.median(fused)),
        "fused_within_1e-5": sum(value <= 1e-5 for value in fused),
    }


def sorting(space: SearchSpace, seeds: int, side: int) -> dict[str, object]:
    """The largest network before and after its channels are sorted, in single and in double precision."""
    single, double, descending = [], [], 0
    arch = space.largest()
    for seed in track(range(seeds), description=f"sorting {space.name}"):
        for kind, results in ((torch.float32, single), (torch.float64, double)):
            net = disturbed(space, seed).to(kind)
            calibrate(net, arch, [images(2, side, seed).to(kind)])
            x = images(1, side, seed + 1000).to(kind)
            before = net(x, arch)
            sort_channels(net)
            results.append(difference(before, net(x, arch)))
        descending += is_sorted(net, arch)
    return {
        "networks": seeds,
        "worst_float32": max(single),
        "worst_float64": max(double),
        "importance_descending": descending,
    }


def is_sorted(net: Supernet, arch: Arch) -> bool:
    """Whether every free group of channels is in descending order of importance."""
    tensors = net.state_dict()
    groups = [group for group in channel_groups(arch, net.num_joints) if not group.fixed]
    values = [importance(group, tensors) for group in groups]
    return all(bool((value[:-1] >= value[1:]).all()) for value in values)


def main() -> None:
    """Audit and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=200, help="architectures to extract")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        record = {
            "schema": 1,
            "seed": options.seed,
            "torch": torch.__version__,
            "sorting": {name: sorting(SearchSpace.load(name), 10, 256) for name in ("tiny", "litepose")},
            "extraction": {
                "litepose": extraction(SearchSpace.load("litepose"), options.number, options.seed)
            },
        }
    print(record)
    write_json(Path(__file__).with_name("networks.json"), record)


if __name__ == "__main__":
    main()
