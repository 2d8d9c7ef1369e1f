"""Latency tables on a device whose times are a formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from formula_device import SIZES, formula_device, network_time, part_time

from search import LatencyTable
from search.costs.latency import check_against, check_table
from search.costs.parts import PartModel, network_parts
from search.devices.board import design_id
from search.devices.measurements import Measurements, retest_spread
from search.devices.options import MeasureOptions
from search.devices.profiling import Design, make_design
from supernet import InputError, SearchSpace
from supernet.family import layers


def test_parts_make_up_the_network(space: SearchSpace) -> None:
    for arch in space.decode(space.sample_codes(np.random.default_rng(0), 20)):
        parts = network_parts(arch, 14)
        whole = layers(arch, 14)
        assert sum(len(part.layers) for part in parts) == len(whole)
        macs = [layer.macs(96, 96, "exact") for part in parts for layer in part.layers]
        assert sum(macs) == sum(layer.macs(96, 96, "exact") for layer in whole)
        assert sum(part.group.startswith("stage") for part in parts) == sum(s.depth for s in arch.stages)
    # Equal blocks in one stage are one part.
    deep = space.largest()
    assert len(set(network_parts(deep, 14))) < len(network_parts(deep, 14))


def test_a_part_computes_the_same_in_onnx_and_torch_shapes(space: SearchSpace) -> None:
    torch = pytest.importorskip("torch")
    from search.devices.board_script import open_session, session_run
    from search.devices.runners import PartNet, onnx_network, onnx_part
    from subnets.network import Subnet

    arch = space.middle()
    for part in set(network_parts(arch, 14)):
        found = session_run(open_session(onnx_part(part), 1))()
        expected = PartNet(part)(*[torch.zeros(1, c, side, side) for c, side in part.inputs])
        assert [tuple(x.shape) for x in found] == [tuple(x.shape) for x in expected]
    found = session_run(open_session(onnx_network(arch, 14), 1))()
    expected = Subnet(arch, 14)(torch.zeros(1, 3, arch.resolution, arch.resolution))
    assert [tuple(x.shape) for x in found] == [tuple(x.shape) for x in expected]


def test_heads_without_some_of_their_parts(space: SearchSpace) -> None:
    torch = pytest.importorskip("torch")
    from search.devices.board_script import open_session, session_run
    from search.devices.runners import PartNet, onnx_part

    both = [False, True]
    heads = {"fusion": [[False], both, both], "raw_outputs": [both, [False]]}
    other = SearchSpace.from_dict({**space.to_dict(), **heads})
    parts = {part for arch in (other.smallest(), other.largest()) for part in network_parts(arch, 14)}
    for part in (part for part in parts if part.group.startswith("head")):
        found = session_run(open_session(onnx_part(part), 1))()
        expected = PartNet(part)(*[torch.zeros(1, c, side, side) for c, side in part.inputs])
        assert [tuple(x.shape) for x in found] == [tuple(x.shape) for x in expected]
    table = LatencyTable(formula_device(other, make_design(other, 14, SIZES, 0)))
    codes = other.sample_codes(np.random.default_rng(3), 50)
    times = np.array([network_time(network_parts(arch, 14)) for arch in other.decode(codes)])
    assert np.median(np.abs(table.predict(codes) / times - 1)) < 0.05
    with pytest.raises(InputError, match="whose fusion 1 has no 1"):
        LatencyTable(formula_device(other, make_design(other, 14, SIZES, 0)), space)


def test_onnx_and_torch_run_equal_nodes(space: SearchSpace) -> None:
    """As many convolutions, activations and sums as the fused network has."""
    onnx = pytest.importorskip("onnx")
    from search.devices.runners import onnx_network

    arch = space.largest()
    kinds = [node.op_type for node in onnx.load_from_string(onnx_network(arch, 14)).graph.node]
    whole = layers(arch, 14)
    assert kinds.count("Conv") == sum(layer.kind in ("conv", "depthwise") for layer in whole)
    assert kinds.count("ConvTranspose") == sum(layer.kind == "deconv" for layer in whole) == 6
    assert kinds.count("Clip") == sum(layer.activation == "relu6" for layer in whole)
    assert kinds.count("Relu") == sum(layer.activation == "relu" for layer in whole)
    assert "BatchNormalization" not in kinds


def test_the_design_is_distinct_and_covers_every_kind(space: SearchSpace, design: Design) -> None:
    assert len(set(design.parts)) == len(design.parts) >= 110
    assert {part.group for part in design.parts} == {
        *("stem", "raw", "head1", "head2", "head3"),
        *(f"stage{i}" for i in range(1, 5)),
    }
    assert len(np.unique(design.codes, axis=0)) == len(design.codes) == 24
    again = make_design(space, 14, SIZES, 0)
    assert design_id(space, again, 14) == design_id(space, design, 14)
    assert design_id(space, make_design(space, 14, SIZES, 1), 14) != design_id(space, design, 14)


def test_unseen_networks_are_predicted(space: SearchSpace, table: LatencyTable) -> None:
    codes = space.sample_codes(np.random.default_rng(2), 200)
    truth = np.array([network_time(network_parts(arch, 14)) for arch in space.decode(codes)])
    error = np.abs(table.predict(codes) / truth - 1)
    assert np.quantile(error, 0.95) < 0.08
    assert table.about["device"] == "formula"


def test_a_resolution_may_be_slower_than_its_neighbours() -> None:
    space = SearchSpace.load("litepose")
    parts = make_design(space, 14, MeasureOptions(parts=300, networks=10), 0).parts
    parts = tuple(part for part in parts if part.kind == "stage")
    steps = np.array([part_time(part) * (1.3 if part.resolution == 448 else 1.0) for part in parts])
    smooth = np.array([part_time(part) for part in parts])
    for times in (smooth, steps):
        model = PartModel(parts[:-40], times[:-40])
        assert np.abs(model.predict(parts[-40:]) / times[-40:] - 1).mean() < 0.03


def test_the_check_is_honest(measured: Measurements, table: LatencyTable, space: SearchSpace) -> None:
    check = check_table(measured)
    assert check.within >= 0.95
    assert check.tau > 0.9
    assert "24 networks" in check.shown()
    held_out = formula_device(space, make_design(space, 14, SIZES, 9))
    assert check_against(table, held_out).within >= 0.95
    # A table that is off by a third does not pass.
    slower = replace(held_out, networks=held_out.networks * 1.5)
    assert check_against(table, slower).within < 0.1
    assert retest_spread(np.array([[1.0, 1.1, 1.2]])) == pytest.approx(0.15 / 1.1)
    assert retest_spread(np.array([[1.0, 1.2, 1.1, 1.3]])) == pytest.approx(0.1 / 1.15)


def test_a_smaller_space_uses_the_table(measured: Measurements, space: SearchSpace) -> None:
    value = space.to_dict()
    value.update(name="part", resolution=[128], stem=[16])
    part = SearchSpace.from_dict(value)
    codes = part.sample_codes(np.random.default_rng(4), 20)
    whole = LatencyTable(measured).predict(space.encode(part.decode(codes)))
    assert LatencyTable(measured, part).predict(codes) == pytest.approx(whole)
