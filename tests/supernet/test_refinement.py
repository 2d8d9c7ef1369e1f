"""Refinements before the head: RMPG in supernets, static networks, costs and files; what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from warm import Warm

from search.costs.parts import network_parts
from search.devices.runners import onnx_network, onnx_part
from subnets.export.formats import largest_difference, normal_inputs
from subnets.export.onnx_graph import export_onnx
from subnets.families.topdown import HourglassArch, SimpleBaselineArch
from subnets.folder import load, save
from subnets.network import build, extract, fuse
from subnets.portable.manifest import Manifest
from subnets.runtime import open_runtime, torch_runtime
from supernet import Arch, InputError, SearchSpace, Supernet
from supernet.cost import MacsTable, ParamsTable, count_macs, count_params
from supernet.family import arch_from_dict, load_arch
from supernet.layers.description import Refinement
from supernet.layers.parse_graph import ParseGraph
from supernet.memory import MemoryTable, memory_of
from supernet.pose import Skeleton
from supernet.sorting import sort_channels

RMPG = {"kind": "rmpg", "branching": [2, 2], "kernel": 3}
STAGE = {"width": [4, 8], "depth": [1, 2], "kernel": [3, 5], "expansion": [2]}
MICRO = {
    "schema": 1,
    "name": "micro",
    "head_kind": ["embedding", "onestage"],
    "resolution": [64],
    "stem": [4, 8],
    "stages": [STAGE] * 4,
    "head": [[4, 8], [4, 8], [4, 8]],
}
TOP_DOWN = {
    "simplebaseline": SimpleBaselineArch((64, 32), 4, (8, 8, 12), (1, 2, 1), (8, 8)),
    "hourglass": HourglassArch((64, 32), 4, (8, 12, 8), (2, 1, 1)),
}


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.from_dict(MICRO | {"refinement": RMPG})


def test_a_space_without_one_is_as_it_was(space: SearchSpace) -> None:
    plain = SearchSpace.from_dict(MICRO)
    assert "refinement" not in plain.to_dict()
    assert "refinement" not in plain.largest().to_dict()
    assert plain.genes == space.genes
    assert SearchSpace.from_dict(space.to_dict()) == space
    codes = space.sample_codes(np.random.default_rng(0), 20)
    for arch in space.decode(codes):
        assert Arch.from_dict(arch.to_dict()) == arch
        assert arch.refinement == ParseGraph((2, 2), 3)
    told = "refinement rmpg branching [2, 2] kernel 3 is not None"
    assert plain.mismatch(space.largest()) == told


def test_subnets_are_bit_equal_and_sorting_leaves_the_largest(space: SearchSpace) -> None:
    net, images = Supernet(space).eval(), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for arch in (space.largest(), space.middle(), replace(space.smallest(), head_kind="onestage")):
            wanted = net(images, arch)
            subnet = extract(net, arch)
            for ours, theirs in zip(subnet(images), wanted, strict=True):
                assert torch.equal(ours, theirs)
            for ours, theirs in zip(fuse(subnet)(images), wanted, strict=True):
                torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
        before = net(images, space.largest())
        permutations = sort_channels(net)
        for ours, theirs in zip(net(images, space.largest()), before, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    kept = [axis for axis, _ in permutations.orders["stages.3.1.project.conv.weight"]]
    assert 0 not in kept, "channels that are split keep their place"


def test_every_weight_learns_and_the_tables_agree(space: SearchSpace) -> None:
    # What the biases of norms add in a child is normed away by the next norm while training: their gradients
    # are rounding, and exactly 0 with one seed in eleven.
    torch.manual_seed(0)
    net = build(space.largest())
    sum(output.square().mean() for output in net(torch.randn(2, 3, 64, 64))).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    codes = space.sample_codes(np.random.default_rng(1), 30)
    tables = (MacsTable(space, 14), ParamsTable(space, 14), MemoryTable(space, 14))
    macs, params, ram = (table.predict(codes) for table in tables)
    for place, arch in enumerate(space.decode(codes)):
        assert macs[place] == count_macs(arch, 14)
        assert params[place] == count_params(arch, 14)
        memory = memory_of(arch, 14, "int8")
        assert memory is not None
        assert ram[place] == memory[0]


def test_costs_by_hand() -> None:
    """Of 8 channels at 1/4 with a tree of 2 and then 2 children: 4 + 2 x 2 maps of 4 and 2 channels."""
    found = ParseGraph((2, 2), 3).layers("r", 8, 4)
    depthwise = 2 * 4 * 9 + 4 * 2 * 9
    context, compose = 2 * 4 * 4 + 4 * 2 * 2, 2 * 4 * 8 + 4 * 2 * 4
    norms = 2 * (2 * 4 + 4 * 2) * 2 + 2 * (8 + 2 * 4)
    assert sum(layer.params for layer in found) == depthwise + context + compose + norms
    assert sum(layer.macs(32, 64, "exact") for layer in found) == 8 * 16 * (depthwise + context + compose)
    assert {layer.part for layer in found} == {"r"}


def test_children_are_told_of_siblings_alone_and_the_root_adds() -> None:
    """With symbols for numbers: what a child is told is what another looks; a slice of two is every other."""
    tree, told = ParseGraph((2,)), dict[str, str]()

    def apply(name: str, x: str) -> str:
        told[name] = x
        return name

    assert tree.wire("r", apply, lambda x, y: f"{x} + {y}", "x") == "x + r.composed"
    assert told["r.0.told1"] == "r.1.look"
    assert told["r.1.told0"] == "r.0.look"
    assert told["r.0.compose"] == "r.0.take + r.0.context"
    assert told["r.composed"] == "r.0.compose + r.1.compose"
    net = build(replace(TOP_DOWN["hourglass"], refinement=tree))
    x = torch.arange(8.0).view(1, 8, 1, 1)
    halves = [net.unit(f"refinement.{i}.take")(x).flatten().tolist() for i in range(2)]
    assert halves == [[0, 2, 4, 6], [1, 3, 5, 7]]


@pytest.mark.parametrize("name", TOP_DOWN)
@pytest.mark.parametrize("refinement", [None, ParseGraph((2, 2), 3)])
def test_top_down_families(name: str, refinement: Refinement | None, tmp_path: Path) -> None:
    arch = replace(TOP_DOWN[name], refinement=refinement)
    assert arch_from_dict(arch.to_dict()) == arch
    assert ("refinement" in arch.to_dict()) == (refinement is not None)
    net = build(arch).eval()
    net.skeleton = Skeleton.load("crowdpose")
    assert [tuple(output.shape) for output in net(torch.zeros(1, 3, 64, 96))] == [(1, 14, 16, 24)]
    save(net, tmp_path / "net", {})
    assert load(tmp_path / "net").arch == arch
    manifest = Manifest("small", 32, net.skeleton, arch=arch.to_dict(), head_kind="heatmaps")
    export_onnx(fuse(net), tmp_path / "a.onnx", manifest)
    run = open_runtime(tmp_path / "a.onnx", "onnxruntime", threads=1)
    assert largest_difference(run, torch_runtime(net), normal_inputs([(1, 3, 64, 32), (2, 3, 32, 96)])) < 1e-4


def test_parts_are_timed_as_graphs(space: SearchSpace) -> None:
    session = pytest.importorskip("onnxruntime").InferenceSession
    arch = space.largest()
    (part,) = [part for part in network_parts(arch, 14) if part.group == "refinement"]
    assert (part.inputs, len(part.outputs), part.is_residual) == (((8, 4),), 1, True)
    graphs = {"x0": (onnx_part(part), (1, 8, 4, 4)), "images": (onnx_network(arch, 14), (1, 3, 64, 64))}
    for name, (graph, shape) in graphs.items():
        outputs = session(graph, providers=["CPUExecutionProvider"]).run(None, {name: np.ones(shape, "f4")})
        assert all(np.isfinite(output).all() for output in outputs)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"branching": [3]}, r"refinement branching \[3\] does not divide a map of 8 channels; .* of 3$"),
        ({"branching": []}, r"refinement branching: \[\] must be one number or more of at least 2"),
        ({"branching": [1, 2]}, r"refinement branching: \[1, 2\] must be one number or more of at least 2"),
        ({"kernel": 4}, "refinement kernel: 4 is even"),
        ({"depth": 2}, "refinement: unknown .*depth"),
        ({"kind": "tree"}, "refinement 'tree' is not known; choose from rmpg"),
        ({"kind": 3}, "refinement: expected a mapping with its kind and settings, found "),
    ],
)
def test_what_cannot_be_is_refused(changed: dict[str, object], told: str) -> None:
    for plain, read in ((TOP_DOWN["hourglass"].to_dict(), arch_from_dict), (MICRO, SearchSpace.from_dict)):
        with pytest.raises(InputError, match=told):
            read({**plain, "refinement": {**RMPG, **changed}})


def test_every_width_of_a_space_has_to_fit() -> None:
    stages = [STAGE] * 3 + [STAGE | {"width": [4, 6, 8]}]
    with pytest.raises(InputError, match="does not divide a map of 6 channels"):
        SearchSpace.from_dict(MICRO | {"stages": stages, "refinement": RMPG})


def test_bad_input_is_one_line(warm: Warm, tmp_path: Path) -> None:
    """By real commands: a refinement that does not divide, a head that a space has not, and weights of
    another head.
    """
    plain = load_arch("litepose-xs").to_dict()
    (tmp_path / "odd.yaml").write_text(yaml.safe_dump(plain | {"refinement": {**RMPG, "branching": [7]}}))
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(MICRO | {"head_kind": ["embedding", "fancy"]}))
    net = build(Arch.from_dict(plain))
    net.skeleton = Skeleton.load("crowdpose")
    save(net, tmp_path / "net", {"trained": True})
    other = plain | {"head_kind": "onestage"}
    (tmp_path / "net/arch.yaml").write_text(yaml.safe_dump(other))
    commands = {
        "does not divide a map of 80 channels": ("supernet.describe", "arch=odd.yaml"),
        "head 'fancy' is not known": ("supernet.train", "space=space.yaml"),
        "are of a network with head_kind embedding; arch.yaml says onestage": ("subnets.export", "arch=net"),
    }
    for told, command in commands.items():
        done = warm.run(command[0], command[1:], tmp_path)
        assert done.returncode == 2, done.stderr
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr
