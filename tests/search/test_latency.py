"""Latency tables on a device whose times are a formula, their files, and boards."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search import LatencyTable
from search.costs.latency import check_against, check_table, open_latency
from search.costs.parts import Part, PartModel, network_parts
from search.devices.board import design_id, read_board, write_board
from search.devices.measurements import Measurements, retest_spread
from search.devices.options import DeviceOptions, MeasureOptions
from search.devices.profiling import Design, make_design, open_prior
from supernet import InputError, SearchSpace
from supernet.family import layers

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


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("tiny")


@pytest.fixture(scope="module")
def design(space: SearchSpace) -> Design:
    return make_design(space, 14, SIZES, 0)


@pytest.fixture(scope="module")
def measured(space: SearchSpace, design: Design) -> Measurements:
    return formula_device(space, design)


@pytest.fixture(scope="module")
def table(measured: Measurements) -> LatencyTable:
    return LatencyTable(measured)


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


def test_files(measured: Measurements, table: LatencyTable, tmp_path: Path, space: SearchSpace) -> None:
    file = tmp_path / "runs" / "latency.json"
    measured.save(file)
    codes = space.sample_codes(np.random.default_rng(3), 50)
    for source in (file, file.parent):
        loaded = open_latency(str(source), space, 14)
        steady = LatencyTable(measured.steady()).predict(codes)
        assert loaded.predict(codes) == pytest.approx(steady, rel=1e-5)
        # There is no drift to be taken out.
        assert steady == pytest.approx(table.predict(codes), rel=0.05)


def test_a_recorded_table_stays_as_it_was() -> None:
    """A file of an older version, and what that version made of it."""
    table = LatencyTable.load(Path(__file__).parents[1] / "golden" / "latency_tiny.json")
    space = table.space
    codes = space.encode([space.smallest(), space.middle(), space.largest()])
    # Another processor's sums end the fit elsewhere in the last digits.
    assert table.predict(codes) == pytest.approx([1.496300, 1.904403, 8.236327], rel=1e-4)


def test_a_smaller_space_uses_the_table(measured: Measurements, space: SearchSpace) -> None:
    value = space.to_dict()
    value.update(name="part", resolution=[128], stem=[16])
    part = SearchSpace.from_dict(value)
    codes = part.sample_codes(np.random.default_rng(4), 20)
    whole = LatencyTable(measured).predict(space.encode(part.decode(codes)))
    assert LatencyTable(measured, part).predict(codes) == pytest.approx(whole)


def damaged(value: dict[str, Any], how: str) -> Any:
    if how == "kind":
        value["kind"] = "other"
    elif how == "schema":
        value["schema"] = 99
    elif how == "missing":
        del value["networks"]
    elif how == "negative":
        value["parts"][0][2][0] = -1.0
    elif how == "codes":
        value["networks"][0][0][0] = 77
    elif how == "ragged":
        value["parts"][0][2] = [1.0]
    elif how == "about":
        value["about"] = None
    elif how == "endless":
        value["parts"][0][2][0] = 10**400
    elif how == "place":
        value["parts"][0][1] = 999
    elif how == "negative place":
        value["parts"][0][1] = -1
    elif how == "part of a place":
        value["parts"][0][1] = 0.5
    elif how == "part of a code":
        value["networks"][0][0][0] = 0.5
    elif how == "unlike rounds":
        value["networks"] = [[row, times[:2]] for row, times in value["networks"]]
    elif how == "one round":
        value["parts"] = [[row, place, times[:1]] for row, place, times in value["parts"]]
        value["networks"] = [[row, times[:1]] for row, times in value["networks"]]
    elif how == "no parts":
        value["parts"] = []
    elif how == "list":
        return []
    return value


DAMAGES = {
    "kind": "not written by search.profile",
    "schema": "schema 99",
    "missing": "'networks' is missing",
    "negative": "not a positive number of milliseconds",
    "codes": "outside the choices",
    "ragged": "damaged",
    "list": "not written by search.profile",
    "about": "about: expected a mapping, found None",
    "endless": "damaged",
    "place": "a measured part is number 999 of a network that has",
    "negative place": "a measured part is number -1 of a network",
    "part of a place": "place in its network is no whole number",
    "part of a code": "codes of space 'tiny' are integers",
    "unlike rounds": "two or more rounds of times, as many of each",
    "one round": "two or more rounds",
    "no parts": "two or more rounds",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_tables(measured: Measurements, tmp_path: Path, how: str) -> None:
    file = tmp_path / "latency.json"
    measured.save(file)
    file.write_text(json.dumps(damaged(json.loads(file.read_text()), how)))
    with pytest.raises(InputError, match=rf"latency table .*latency\.json: .*{DAMAGES[how]}"):
        LatencyTable.load(file)


def test_missing_truncated_and_foreign_tables(measured: Measurements, tmp_path: Path) -> None:
    file = tmp_path / "latency.json"
    measured.save(file)
    with pytest.raises(InputError, match="measured for space 'tiny', whose resolution has no 256"):
        LatencyTable.load(file, SearchSpace.load("litepose"))
    with pytest.raises(InputError, match=r"for 14 joints, the supernet has 17; .* num_joints=17"):
        open_latency(str(file), SearchSpace.load("tiny"), 17)
    file.write_text(file.read_text()[:1000])
    with pytest.raises(InputError, match="truncated"):
        LatencyTable.load(file)
    with pytest.raises(InputError, match="does not exist"):
        open_latency("nowhere", SearchSpace.load("tiny"), 14)


def write_csv(path: Path, manifest: str, times: dict[str, list[float]]) -> None:
    with open(path, "w", newline="") as file:
        file.write("# " + json.dumps({"manifest": manifest, "runtime": "onnxruntime 1", "threads": 2}) + "\n")
        writer = csv.writer(file)
        writer.writerow(("file", "round", "milliseconds", "runs"))
        for name, rounds in times.items():
            for i, milliseconds in enumerate(rounds):
                writer.writerow((name, i, milliseconds, 5))


def test_a_board_there_and_back(space: SearchSpace, tmp_path: Path) -> None:
    import subprocess
    import sys

    few = make_design(space, 14, MeasureOptions(parts=30, networks=10), 0)
    write_board(tmp_path / "board", space, 14, few)
    manifest = json.loads((tmp_path / "board" / "manifest.json").read_text())
    assert sorted(manifest["files"]) == sorted(p.name for p in (tmp_path / "board").glob("*.onnx"))
    # The script alone, away from this project: two parts are enough to see that it runs.
    manifest["files"] = manifest["files"][:2]
    (tmp_path / "board" / "manifest.json").write_text(json.dumps(manifest))
    command = [sys.executable, "-I", str(tmp_path / "board" / "measure.py")]
    options = ["--rounds", "2", "--seconds", "0.001", "--output", str(tmp_path / "measured.csv")]
    subprocess.run([*command, *options], check=True, capture_output=True, cwd=tmp_path)
    once = subprocess.run(
        [*command, "--rounds", "1"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert once.returncode == 2
    assert "--rounds must be 2 or more" in once.stderr
    with pytest.raises(InputError, match="incomplete"):
        read_board(str(tmp_path / "measured.csv"), space, 14, few, DeviceOptions(runtime="board"))
    assert len((tmp_path / "measured.csv").read_text().splitlines()) == 2 + 4


def test_a_boards_csv_is_the_same_as_measuring(
    space: SearchSpace, design: Design, measured: Measurements, tmp_path: Path
) -> None:
    times = {f"part_{i}.onnx": row.tolist() for i, row in enumerate(measured.parts)}
    times |= {f"network_{i}.onnx": row.tolist() for i, row in enumerate(measured.networks)}
    file = tmp_path / "measured.csv"
    write_csv(file, design_id(space, design, 14), times)
    device = DeviceOptions(runtime="board", label="a board")
    read = read_board(str(file), space, 14, design, device)
    assert (read.parts == measured.parts).all()
    assert (read.networks == measured.networks).all()
    assert read.about["device"] == "a board"
    assert read.about["threads"] == 2
    first = next(iter(times))
    for wrong, message in (([0.0, 1.0, 1.0], "not a positive"), ([1.0], "some rounds are missing")):
        write_csv(file, design_id(space, design, 14), {**times, first: wrong})
        with pytest.raises(InputError, match=f"{message}.*; run measure.py again"):
            read_board(str(file), space, 14, design, device)
    write_csv(file, design_id(space, design, 14), {name: row[:1] for name, row in times.items()})
    with pytest.raises(InputError, match="two or more rounds"):
        read_board(str(file), space, 14, design, device)
    write_csv(file, "another", times)
    with pytest.raises(InputError, match="of another folder"):
        read_board(str(file), space, 14, design, device)
    for text in ("no header\n1,2\n", "# 3\n1,2\n", "# []\nfile,round\n", "# {}\nfile,round\n\0,x\n"):
        file.write_text(text)
        with pytest.raises(InputError, match=r"damaged|of another folder"):
            read_board(str(file), space, 14, design, device)


def test_a_part_may_stand_at_any_place_of_its_network(space: SearchSpace, design: Design) -> None:
    ids = {
        design_id(space, replace(design, places=(place, *design.places[1:])), 14)
        for place in (255, 256, 257, 70000)
    }
    assert len(ids) == 4


def test_parts_of_another_device_with_the_same_runtime(
    space: SearchSpace, design: Design, measured: Measurements, tmp_path: Path
) -> None:
    measured = replace(measured, about={**measured.about, "runtime": "onnxruntime 1"})
    measured.save(tmp_path / "latency.json")
    device = DeviceOptions(prior=str(tmp_path))
    prior = open_prior(device, space, 14)
    assert prior is not None
    # Twice as slow.
    few = make_design(space, 14, replace(SIZES, networks=10), 5).without_parts()
    times = {
        f"network_{i}.onnx": [2 * network_time(network_parts(arch, 14))] * 4
        for i, arch in enumerate(few.archs)
    }
    write_csv(tmp_path / "measured.csv", design_id(space, few, 14), times)
    board = replace(device, runtime="board")
    found = read_board(str(tmp_path / "measured.csv"), space, 14, few, board, prior)
    found.save(tmp_path / "slow.json")
    table = LatencyTable.load(tmp_path / "slow.json")
    codes = space.sample_codes(np.random.default_rng(3), 50)
    expected = np.array([2 * network_time(network_parts(arch, 14)) for arch in space.decode(codes)])
    assert np.quantile(np.abs(table.predict(codes) / expected - 1), 0.9) < 0.1
    assert table.about["prior"]["device"] == "formula"
    refused = {
        "its own parts are those of another table": (
            replace(device, prior=str(tmp_path / "slow.json")),
            space,
            14,
        ),
        "onnxruntime 1, whose parts tell little of torch": (replace(device, runtime="torch"), space, 14),
        "measured for 14 joints": (device, space, 17),
        "whose resolution has no 256": (device, SearchSpace.load("litepose"), 14),
        "does not exist": (DeviceOptions(prior="nowhere"), space, 14),
    }
    for message, (options, wanted, joints) in refused.items():
        with pytest.raises(InputError, match=message):
            open_prior(options, wanted, joints)
