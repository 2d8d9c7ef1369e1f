"""The tabular benchmark: a small space of a trained supernet, evaluated exhaustively once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tabular import TabularBenchmark

from search.accuracy.predictor import fit_predictor, tau_of
from search.costs.contract import Costs
from search.strategies.contract import History, load_strategy
from search.strategies.plan import PlanOptions
from search.study.storage import open_storage
from search.study.study import SearchStudy
from search.study.worker import search
from supernet import InputError, SearchSpace
from supernet.space import Codes

FILE = Path(__file__).resolve().parents[2] / "experiments" / "search" / "nano.npz"
MORE_IMAGES = FILE.with_name("nano_1200.npz")
BUDGETS = (0.3, 0.45, 0.65, 0.85)


@pytest.fixture(scope="module")
def table() -> TabularBenchmark:
    return TabularBenchmark.load(FILE, SearchSpace.load("nano"))


def searched(table: TabularBenchmark, name: str, seed: int = 0, **options: Any) -> Codes:
    problem = table.problem((*BUDGETS, 1.0))
    study = SearchStudy(open_storage("memory"), "s", problem, {})
    found = search(study, problem, load_strategy(name, problem, options), table, PlanOptions(seed, 100, 8))
    return np.stack([candidate.row for candidate in found])


def test_the_whole_space_is_there(table: TabularBenchmark) -> None:
    assert len(table.codes) == table.space.size() == 2304
    assert len(np.unique(table.codes, axis=0)) == 2304
    with np.load(FILE) as file:
        assert file["macs"].tolist() == table.macs.tolist()
        assert "make_tabular.py" in str(file["provenance"])
        assert file["scores"][:, 0].astype(float).tolist() == table.ap.tolist()
    largest, smallest = table.space.encode([table.space.largest(), table.space.smallest()])
    assert table.lookup(largest[None])[0] > table.lookup(smallest[None])[0]
    assert table(table.space.largest()).stats["AP"] == table.lookup(largest[None])[0]


def test_hypervolume_and_regret_are_those_of_the_definition(table: TabularBenchmark) -> None:
    assert table.hypervolume(table.codes) == 1.0
    assert table.regrets(table.codes, BUDGETS).tolist() == [0.0] * 4
    some = table.codes[[5, 900, 2000]]
    x = np.log(table.costs.predict(some)[:, 0])
    low, high = np.log(table.macs.min()), np.log(table.macs.max())
    x, y = (x - low) / (high - low), (table.lookup(some) - table.ap.min()) / np.ptp(table.ap)
    grid = (np.arange(1000) + 0.5) / 1000

    def area(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean([y[x <= at].max(initial=0.0) for at in grid]))

    whole_x = (np.log(table.macs) - low) / (high - low)
    whole = area(whole_x, (table.ap - table.ap.min()) / np.ptp(table.ap))
    assert table.hypervolume(some) == pytest.approx(area(x, y) / whole, abs=2e-3)
    within = table.macs <= 0.45 * table.macs.max()
    worst = table.codes[within][table.ap[within].argmin()]
    assert table.regrets(worst[None], [0.45]) == [table.ap[within].max() - table.ap[within].min()]


def test_the_predictor_finds_the_front(table: TabularBenchmark) -> None:
    found, drawn = searched(table, "predictor"), searched(table, "random")
    assert len(np.unique(found, axis=0)) == len(np.unique(drawn, axis=0)) == 100
    assert table.hypervolume(found) >= 0.98
    assert 1 - table.hypervolume(found) <= 0.5 * (1 - table.hypervolume(drawn))
    assert table.regrets(found, BUDGETS).mean() <= 0.003


def test_samplers_of_optuna_are_strategies(table: TabularBenchmark) -> None:
    drawn = searched(table, "optuna:RandomSampler")
    bred = searched(table, "optuna:NSGAIISampler", population_size=16)
    assert len(np.unique(drawn, axis=0)) == len(np.unique(bred, axis=0)) == 100
    # Generations are those of an unbroken study: nothing is bred while the first one is not full.
    assert bred[:16].tolist() == drawn[:16].tolist()
    assert table.lookup(bred[50:]).mean() > table.lookup(drawn[50:]).mean() + 0.01
    problem = table.problem([0.3])
    first = load_strategy("optuna:TPESampler", problem).ask
    history = History.of(problem, drawn[:12], table.lookup(drawn[:12]))
    rows = first(history, 4, np.random.default_rng(3))
    assert rows.tolist() == first(history, 4, np.random.default_rng(3)).tolist()
    assert problem.feasible(rows).all()
    assert not {row.tobytes() for row in rows} & history.known


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("optuna:GaussSampler", {}, "GPSampler"),
        ("optuna:CmaEsSampler", {}, "multi-objective"),
        ("optuna:TPESampler", {"gamme": 3}, "gamme"),
        ("optuna:NSGAIISampler", {"population_size": 1}, "population_size"),
        ("optuna", {}, "sampler"),
    ],
)
def test_a_sampler_that_does_not_fit_is_one_line(
    table: TabularBenchmark, name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        load_strategy(name, table.problem([0.3]), options)


@pytest.mark.parametrize(("file", "least"), [(FILE, 0.85), (MORE_IMAGES, 0.9)], ids=["400 images", "1200"])
def test_the_accuracy_predictor_ranks_what_it_has_not_seen(file: Path, least: float) -> None:
    with np.load(file) as arrays:
        codes, ap = arrays["codes"].astype(np.int64), arrays["scores"][:, 0].astype(np.float64)
    costs = Costs.of(SearchSpace.load("nano"))
    order = np.random.default_rng(0).permutation(len(codes))
    drawn, held = order[:300], order[300:]
    predictor = fit_predictor(costs, codes[drawn], ap[drawn], models=("gp_ard",))
    tau = tau_of(predictor.predict(codes[held])[0], ap[held])
    assert tau >= least
    assert tau > tau_of(costs.predict(codes[held])[:, 0], ap[held]) + 0.2
    assert predictor.quality.tau == tau_of(predictor.held_out, ap[drawn])
    low, high = predictor.quality.tau_interval
    assert low < predictor.quality.tau < high


def test_what_is_no_table_of_the_space(table: TabularBenchmark, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        TabularBenchmark.load(tmp_path / "none.npz", table.space)
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(InputError, match="no regular file"):
        TabularBenchmark.load(tmp_path / "pipe.npz", table.space)
    with pytest.raises(InputError, match="cannot be read: 'AP95'"):
        TabularBenchmark.load(FILE, table.space, "AP95")
    with pytest.raises(InputError, match=r"has 2304 architectures, of which 1 were evaluated"):
        TabularBenchmark(table.space, table.codes[:1], table.ap[:1])


@pytest.mark.parametrize(
    "how", ["empty", "no archive", "cut", "one byte", "three axes", "too many scores", "negative", "text"]
)
def test_a_damaged_table_is_one_line(how: str, tmp_path: Path) -> None:
    data, file = bytearray(FILE.read_bytes()), tmp_path / "damaged.npz"
    with np.load(FILE) as kept:
        arrays = {name: kept[name] for name in ("codes", "scores", "metrics")}
    scores = arrays.pop("scores")
    changed = {
        "three axes": scores[:, :, None],
        "too many scores": np.tile(scores, (2, 1)),
        "negative": -scores,
        "text": scores.astype(str),
    }
    if how in changed:
        np.savez(file, scores=changed[how], **arrays)
    else:
        data[len(data) // 2] ^= 255
        file.write_bytes({"empty": b"", "no archive": b"x" * 99, "cut": data[:-9]}.get(how, bytes(data)))
    with pytest.raises(InputError, match=r"tabular benchmark .*damaged\.npz") as caught:
        TabularBenchmark.load(file, SearchSpace.load("nano"))
    assert len(str(caught.value).splitlines()) == 1
