"""Memory: the plan against live tensors looked up one by one, tables against the plan, and known sizes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from supernet import Arch, InputError, SearchSpace
from supernet.family import layers, wire
from supernet.memory import MemoryTable, layer_flash, peak_memory

NANO = SearchSpace.load("nano")
BOTH = [False, True]


def peak_by_looking(arch: Any, num_joints: int = 14) -> int:
    """Bytes of the maps that are live at once, at most: every map of every moment, looked up."""
    known = {layer.name: layer for layer in layers(arch, num_joints)}
    sizes = [3 * arch.resolution**2]
    reads: list[set[int]] = []
    made: list[int] = []

    def record(inputs: set[int], size: int, in_place: bool) -> int:
        reads.append(inputs)
        made.append(len(sizes) if not in_place else -len(sizes))
        sizes.append(size)
        return len(sizes) - 1

    def apply(name: str, x: int) -> int:
        layer = known[name]
        side = arch.resolution // layer.scale
        return record({x}, layer.out_channels * side**2, layer.kind == "norm")

    reads.append(set(wire(arch, apply, lambda x, y: record({x, y}, sizes[x], True), 0)))
    peak = 0
    for moment, output in enumerate(made):
        later = set().union(*reads[moment + 1 :])
        before = set(range(abs(output)))
        live = {value for value in before if value in later | reads[moment]}
        overwritten = output < 0 and bool(reads[moment] - later)
        peak = max(peak, sum(sizes[v] for v in live) + (0 if overwritten else sizes[abs(output)]))
    return peak


def switched(space: str, **switches: Any) -> SearchSpace:
    return SearchSpace.from_dict({**SearchSpace.load(space).to_dict(), **switches})


def test_every_network_of_a_small_space() -> None:
    choices = [np.arange(count) for count in NANO.num_choices]
    codes = np.unique(NANO.canonical(np.stack(np.meshgrid(*choices), -1).reshape(-1, len(choices))), axis=0)
    assert len(codes) == NANO.size()
    # Kernels take no memory.
    shapes = [gene.name.split(".")[2:3] != ["kernel"] for gene in NANO.genes]
    codes = codes[(codes[:, ~np.array(shapes)] == 0).all(axis=1)]
    found = MemoryTable(NANO, 14).predict(codes).tolist()
    assert found == [peak_by_looking(arch) for arch in NANO.decode(codes)]
    assert len(codes) == 256


@pytest.mark.parametrize(
    "space",
    [
        SearchSpace.load("tiny"),
        SearchSpace.load("litepose_expand"),
        switched("tiny", fusion=[BOTH, BOTH, BOTH], raw_outputs=[BOTH, BOTH]),
    ],
)
def test_networks_of_larger_spaces(space: SearchSpace) -> None:
    codes = space.sample_codes(np.random.default_rng(3), 60)
    found = MemoryTable(space, 17, "float32").predict(codes).tolist()
    assert found == [4 * peak_by_looking(arch, 17) for arch in space.decode(codes)]


def test_known_sizes() -> None:
    # The closed form for these networks: what the first block reads, its hidden maps before and after the
    # stride, with 16, 64 and 64 channels at 1/2, 1/2 and 1/4.
    for side, kib in ((96, 216), (64, 96)):
        assert peak_memory(NANO.largest(), 14, "int8", (side, side)) == kib * 1024
    assert peak_memory(NANO.largest(), 14, "float32", (64, 96)) == 4 * 24 * 64 * 96
    xs = layers(Arch.load("litepose-xs"), 14)
    weights = sum(layer.weights for layer in xs)
    biases = sum(layer.out_channels for layer in xs if layer.norm)
    assert sum(layer_flash(layer, "int8") for layer in xs) == weights + 4 * biases
    assert sum(layer_flash(layer, "float32") for layer in xs) == 4 * (weights + biases)


def test_what_vela_allocated() -> None:
    record = Path(__file__).parents[2] / "experiments/deploy/vela.csv"
    rows = list(csv.DictReader(record.open()))
    equal = 0
    for name in {row["space"] for row in rows}:
        space, rng = SearchSpace.load(name), np.random.default_rng(0)
        for row in (row for row in rows if row["space"] == name):
            arch = space.sample(rng)
            for precision in ("int8", "ethos_u"):
                assert peak_memory(arch, 14, precision, arch.input_shape) == int(row[precision])
            equal += row["ethos_u"] == row["vela_layer_by_layer"]
            for found in ("vela_layer_by_layer", "vela_performance"):
                assert abs(int(row[found]) / int(row["ethos_u"]) - 1) < 0.1
    assert (equal, len(rows)) == (15, 16)
    space = SearchSpace.load("tiny")
    codes = space.sample_codes(np.random.default_rng(0), 40)
    wanted = [peak_memory(arch, 14, "ethos_u", arch.input_shape) for arch in space.decode(codes)]
    assert MemoryTable(space, 14, "ethos_u").predict(codes).tolist() == wanted


def test_an_unknown_precision() -> None:
    with pytest.raises(InputError, match="precision 'int4' is not known; choose one of int8, float32"):
        MemoryTable(NANO, 14, "int4")
