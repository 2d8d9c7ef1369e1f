"""How a device is timed: rounds, warm-up, interruptions, slow changes of speed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.devices.board_script import visit_order
from search.devices.measurements import steady_rounds


def test_slow_things_are_warmed_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.devices import board_script

    clock = [0.0]
    calls = [0]

    def run() -> None:
        calls[0] += 1
        clock[0] += 0.2

    monkeypatch.setattr(board_script.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(board_script, "interruptions", lambda: 0)
    assert board_script.time_once(run, 0.1) == (pytest.approx(200.0), 3)
    assert calls[0] == 1 + 3
    calls[0] = 0
    board_script.time_once(run, 0.3)
    assert calls[0] == 2 + 3


def test_rounds_visit_everything_in_changing_order() -> None:
    from search.devices.board_script import time_rounds

    visits: list[str] = []

    def item(name: str) -> tuple[str, Any]:
        def make() -> Any:
            visits.append(name)
            return lambda: None

        return name, make

    told: list[int] = []
    found = time_rounds([item("a"), item("b"), item("c")], 4, 0.0, told=told.append)
    assert all(len(rounds) == 4 for rounds in found.values())
    assert [sorted(visits[i : i + 3]) for i in range(0, 12, 3)] == [["a", "b", "c"]] * 4
    assert len({tuple(visits[i : i + 3]) for i in range(0, 12, 3)}) > 1
    assert told == list(range(1, 13))


def test_slow_changes_of_speed_are_taken_out() -> None:
    rng = np.random.default_rng(0)
    own = rng.uniform(1.0, 100.0, 150)
    order = np.array(visit_order(150, 4))
    assert (np.sort(order, axis=1) == np.arange(150)).all()
    # A third slower and back within a round and a half.
    drift = 1 + 0.15 * np.sin(np.arange(600) / 600 * 2 * np.pi * 2.6)
    times = np.empty((150, 4))
    for number in range(4):
        times[order[number], number] = own[order[number]] * drift[150 * number : 150 * (number + 1)]
    noisy = times * rng.lognormal(0, 0.01, times.shape)

    def error(values: np.ndarray) -> float:
        ratio = np.median(values, axis=1) / own
        return float(np.std(ratio / np.median(ratio)))

    assert error(noisy) > 0.05
    assert error(steady_rounds(noisy)) < 0.015
    # One visit that goes wrong stays that thing's own.
    spike = np.tile(own[:, None], (1, 4))
    spike[7, 2] *= 5
    assert np.abs(np.median(steady_rounds(spike), axis=1) / own - 1).max() < 0.02


def test_interrupted_runs_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from search.devices import board_script

    clock = [0.0]
    switches = [0]
    runs = [0]

    def run() -> None:
        runs[0] += 1
        disturbed = runs[0] % 2 == 0
        clock[0] += 0.1 if disturbed else 0.01
        switches[0] += disturbed

    monkeypatch.setattr(board_script.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(board_script, "interruptions", lambda: switches[0])
    milliseconds, counted = board_script.time_once(run, 1.0)
    assert milliseconds == pytest.approx(10.0)
    assert counted >= 3
    # Where every run is disturbed, the least disturbed ones stand in.
    monkeypatch.setattr(board_script, "interruptions", lambda: runs[0])
    assert board_script.time_once(run, 0.5)[0] == pytest.approx(10.0)
