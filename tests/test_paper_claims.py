"""The paper's cost claims: what may be added to a measurement, its intervals, and the record step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experiments.paper_claims import latency, report
from experiments.paper_claims.estimates import interval, verdict
from experiments.paper_claims.rounds import NAMES, RECORD, add_start, networks_now, read_rounds
from experiments.paper_claims.tables import BEGIN, END
from subnets.benchmark.benchmarking import Timed
from supernet import InputError

HERE = {"processor": "x", "cores": 2, "python": "3", "onnxruntime": "1"}


@pytest.fixture(scope="module")
def networks() -> dict[str, int]:
    return dict(networks_now())


def times(factor: float = 1.0) -> list[dict[str, float]]:
    """Two rounds in which each network takes its place in the list, or `factor` times that."""
    return [{name: factor * (place + 1.0) for place, name in enumerate(NAMES)}] * 2


def filled(folder: Path, networks: dict[str, int], threads: int) -> dict[str, object]:
    """Puts three starts into `folder`; the middle one in a slow phase of the machine."""
    environment = {**HERE, "threads": threads, "networks": networks}
    for factor in (1.0, 2.0, 1.0):
        add_start(folder, threads, environment, times(factor))
    return environment


def test_starts_add_up_and_come_back(tmp_path: Path, networks: dict[str, int]) -> None:
    filled(tmp_path, networks, 1)
    found = read_rounds(tmp_path, 1)
    assert [list(start) for start in found.starts] == [times(), times(2.0), times()]
    assert found.values(NAMES[1]) == [2.0, 2.0, 4.0, 4.0, 2.0, 2.0]
    assert found.ratios(NAMES[2], NAMES[0]) == [[3.0, 3.0]] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"processor": "y"}, "processor: 'x' there, 'y' now"),
        ({"onnxruntime": "2"}, "onnxruntime: '1' there, '2' now"),
    ],
)
def test_other_environments_are_not_mixed_in(
    tmp_path: Path, networks: dict[str, int], change: dict[str, str], message: str
) -> None:
    environment = filled(tmp_path, networks, 1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=f"measured in another environment .*{message}"):
        add_start(tmp_path, 1, {**environment, **change}, times())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_rounds_of_another_network_are_not_reported(tmp_path: Path, networks: dict[str, int]) -> None:
    older = {**networks, "higherhrnet-w24": 28_687_000_000}
    add_start(tmp_path, 1, {**HERE, "threads": 1, "networks": older}, times())
    with pytest.raises(InputError, match=r"measured with other networks \(higherhrnet-w24\)"):
        read_rounds(tmp_path, 1)
    with pytest.raises(InputError, match="nothing was measured; run python -m experiments"):
        read_rounds(tmp_path, 2)


def test_a_start_calls_every_network_and_keeps_its_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    monkeypatch.setattr(latency, "open_exported", lambda folder: dict.fromkeys(NAMES))
    monkeypatch.setattr(latency, "open_runs", lambda nets, kinds, *_: {(n, kinds[0]): n for n in nets})
    monkeypatch.setattr(
        latency, "timed", lambda options, net, runtime, run: Timed(lambda: called.append(run), (1, 1))
    )
    monkeypatch.setattr(latency, "SETTLE", 0.0)
    for _ in range(2):
        latency.start(tmp_path, 1, 0.0)
    found = read_rounds(tmp_path, 1)
    assert [len(rounds) for rounds in found.starts] == [1, 1]
    assert all(set(rounds[0]) == set(NAMES) for rounds in found.starts)
    # A warm-up, an uncounted and a counted call.
    assert all(called.count(name) == 6 for name in NAMES)


def test_missing_networks_are_to_be_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"litepose-xs\.onnx is missing or out of date; run the export"):
        latency.open_exported(tmp_path)


def test_the_unit_of_an_interval_is_the_start() -> None:
    found = interval([[2.0, 2.0, 9.0]] * 3)
    assert (found.mean, found.low, found.high, found.starts) == pytest.approx((2.0, 2.0, 2.0, 3))
    # Logarithms -d, 0, d: Student's quantile for two degrees of freedom is 4.3027.
    spread = interval([[2 / 1.1] * 50, [2.0] * 50, [2 * 1.1] * 50])
    half = 4.302653 * np.log(1.1) / np.sqrt(3)
    assert (spread.low, spread.high) == pytest.approx((2 * np.exp(-half), 2 * np.exp(half)), rel=1e-6)
    with pytest.raises(InputError, match="need two starts or more, and there are 1"):
        interval([[2.0] * 50])


def test_verdicts_allow_for_the_papers_rounding() -> None:
    def beside(low: float, high: float) -> str:
        return verdict({"low": low, "high": high}, 2.9, 3.5)

    assert [beside(2.7, 2.84), beside(2.7, 2.86), beside(3.54, 3.6), beside(3.56, 3.6)] == [
        "below 2.9",
        "within",
        "within",
        "above 3.5",
    ]


def test_the_record_step_writes_everything_and_keeps_the_words(
    tmp_path: Path, networks: dict[str, int]
) -> None:
    source, target = tmp_path / "run", tmp_path / "record"
    for threads in (1, 2):
        filled(source, networks, threads)
    target.mkdir()
    (target / "README.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    report.record(source, target, report.read_measured(source))
    page = (target / "README.md").read_text()
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    # Places 5 and 2 of the list: 2.5 times as slow in every start.
    assert "| efficienthrnet-h1 / litepose-s | 3.62 | 2.85 | 2.84 | 2.50 (2.50 to 2.50) |" in page
    assert "| latency of H-1 over S | 2.9 to 3.5 | 1 thread 2.50 (2.50 to 2.50): below 2.9;" in page
    assert {path.name for path in target.iterdir()} == {
        *("README.md", "latency.png", "result.json"),
        *("rounds_1.csv", "rounds_2.csv", "environment_1.json", "environment_2.json"),
    }
    assert (target / "rounds_2.csv").read_text() == (source / "rounds_2.csv").read_text()
    pairs = json.loads((target / "result.json").read_text())["pairs"]
    assert pairs[0]["latency_1"]["starts"] == 3


def test_a_page_without_its_marks_is_left_alone(tmp_path: Path, networks: dict[str, int]) -> None:
    for threads in (1, 2):
        filled(tmp_path / "run", networks, threads)
    target = tmp_path / "record"
    target.mkdir()
    (target / "README.md").write_text("words\n")
    with pytest.raises(InputError, match="lacks the marks"):
        report.record(tmp_path / "run", target, report.read_measured(tmp_path / "run"))
    assert [path.name for path in target.iterdir()] == ["README.md"]
    page = (RECORD / "README.md").read_text()
    assert 0 < page.index(BEGIN) < page.index(END)


def test_both_thread_counts_come_from_one_machine(tmp_path: Path, networks: dict[str, int]) -> None:
    filled(tmp_path, networks, 1)
    add_start(tmp_path, 2, {**HERE, "processor": "y", "threads": 2, "networks": networks}, times())
    with pytest.raises(InputError, match=r"the thread counts .* were measured in different environments"):
        report.read_measured(tmp_path)
