"""A device whose times are a formula, for tests of latency."""

from __future__ import annotations

import numpy as np

from search.costs.parts import Part, network_parts
from search.devices.measurements import Measurements
from search.devices.options import MeasureOptions
from search.devices.profiling import Design
from supernet import SearchSpace

SIZES = MeasureOptions(parts=120, networks=24)


def part_time(part: Part) -> float:
    """Work at a speed that depends on the kind of layer, memory, and a call per layer."""
    speed = {"conv": 2e7, "depthwise": 5e6, "deconv": 1e7, "norm": 1.0}
    total = 0.002 * len(part.layers)
    for layer in part.layers:
        if layer.kind != "norm":
            macs = layer.macs(part.resolution, part.resolution, "exact")
            total += macs / (speed[layer.kind] * (1 + 0.3 * (layer.out_channels % 16 == 0)))
        total += layer.out_channels * (part.resolution / layer.scale) ** 2 / 5e7
    return total


def network_time(parts: list[Part]) -> float:
    """Blocks run faster inside a network than alone; every call has its cost."""
    factor = {"stage2": 0.8, "head3": 1.15}
    return 0.4 + sum(factor.get(part.group, 0.95) * part_time(part) for part in parts)


def formula_device(space: SearchSpace, design: Design, noise: float = 0.02) -> Measurements:
    rng = np.random.default_rng(0)
    part = np.array([part_time(one) for one in design.parts])
    network = np.array([network_time(network_parts(arch, 14)) for arch in design.archs])

    def rounds(times: np.ndarray) -> np.ndarray:
        return times[:, None] * rng.lognormal(0, noise, (len(times), 3))

    about = {"device": "formula", "runtime": "none", "threads": 1}
    return Measurements(
        space, 14, about, design.sources, design.places, rounds(part), design.codes, rounds(network)
    )
