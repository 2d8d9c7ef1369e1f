"""Latency tables as files: kept, of older versions, damaged, foreign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search import LatencyTable
from search.costs.latency import open_latency
from search.devices.measurements import Measurements
from supernet import InputError, SearchSpace


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
