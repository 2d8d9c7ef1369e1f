"""Boards measured by a script of their own, and parts that another table lends."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from formula_device import SIZES, network_time, part_time

from search import LatencyTable
from search.costs.parts import network_parts
from search.devices.board import design_id, read_board, write_board
from search.devices.measurements import Measurements
from search.devices.options import DeviceOptions, MeasureOptions
from search.devices.profiling import Design, make_design, open_prior
from supernet import InputError, SearchSpace


def write_csv(path: Path, manifest: str, times: dict[str, list[float]]) -> None:
    with open(path, "w", newline="") as file:
        file.write("# " + json.dumps({"manifest": manifest, "runtime": "onnxruntime 1", "threads": 2}) + "\n")
        writer = csv.writer(file)
        writer.writerow(("file", "round", "milliseconds", "runs"))
        for name, rounds in times.items():
            for i, milliseconds in enumerate(rounds):
                writer.writerow((name, i, milliseconds, 5))


def test_a_board_there_and_back(space: SearchSpace, tmp_path: Path) -> None:
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
    whole = make_design(space, 14, replace(SIZES, networks=10), 5)
    few = whole.few_parts(space, 14, 24)
    assert len(few.parts) == 25
    assert set(few.parts) < set(whole.parts)
    times = {
        f"network_{i}.onnx": [2 * network_time(network_parts(arch, 14))] * 4
        for i, arch in enumerate(few.archs)
    }
    times |= {f"part_{i}.onnx": [2 * part_time(part)] * 4 for i, part in enumerate(few.parts)}
    write_csv(tmp_path / "measured.csv", design_id(space, few, 14), times)
    board = replace(device, runtime="board")
    found = read_board(str(tmp_path / "measured.csv"), space, 14, few, board, prior)
    found.save(tmp_path / "slow.json")
    table = LatencyTable.load(tmp_path / "slow.json")
    codes = space.sample_codes(np.random.default_rng(3), 50)
    expected = np.array([2 * network_time(network_parts(arch, 14)) for arch in space.decode(codes)])
    assert np.quantile(np.abs(table.predict(codes) / expected - 1), 0.9) < 0.1
    assert table.about["prior"]["device"] == "formula"
    kept = Measurements.load(tmp_path / "slow.json")
    assert kept.own is not None
    assert kept.own.places == few.places
    again = kept.steady()
    again.save(tmp_path / "again.json")
    assert LatencyTable.load(tmp_path / "again.json").predict(codes) == pytest.approx(table.predict(codes))
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
