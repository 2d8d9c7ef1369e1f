"""The report: every part of it is there, self-contained, and says what was measured."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from analytic import Formula, tiny_problem

from search.costs.budgets import Budget
from search.report.outcome import Outcome, gene_effects, hypervolumes
from search.report.page import write_report
from search.strategies.contract import load_strategy
from search.strategies.plan import PlanOptions
from search.study.storage import open_storage
from search.study.study import SearchStudy, StudyOptions
from search.study.worker import search


class Reader(HTMLParser):
    """Tables as lists of cells, headings, pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.headings: list[str] = []
        self.images: list[bytes] = []
        self.sources: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        for key, value in attrs:
            if key in ("src", "href"):
                self.sources.append(str(value))
                self.images.append(base64.b64decode(str(value).partition("base64,")[2]))

    def handle_data(self, data: str) -> None:
        if self._inside in ("td", "th"):
            self.cells.append(data)
        if self._inside == "h2":
            self.headings.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    problem = tiny_problem()
    study = SearchStudy(open_storage("memory"), "s", problem, {}, StudyOptions(poll=0.01))
    named = tuple(problem.space.encode([problem.space.largest()])[0].tolist())
    options = PlanOptions(0, 30, 10, 2, references=(("litepose-xs", named),))
    search(study, problem, load_strategy("random", problem), Formula(problem.space), options)
    return Outcome.of(problem, study.candidates(), study.plans())


def test_every_part_is_there(outcome: Outcome, tmp_path: Path) -> None:
    found = outcome
    write_report(found, {"device": "cpu, 1 threads"}, ["<a warning>"], tmp_path)
    page = (tmp_path / "report.html").read_text()
    reader = Reader()
    reader.feed(page)
    assert all(source.startswith("data:image/png;base64,") for source in reader.sources)
    pictures = [tmp_path / f"{name}.png" for name in ("accuracy_macs", "progress", "predictor", "genes")]
    assert reader.images == [path.read_bytes() for path in pictures]
    assert "&lt;a warning&gt;" in page
    assert reader.headings[0] == "Chosen subnets"
    assert len(reader.headings) == 5
    for name, chosen in found.chosen.items():
        drawn = [candidate.ap for candidate in found.baseline[name]]
        for value in (chosen.ap, np.median(drawn), max(drawn)):
            assert f"{100 * value:.2f}" in reader.cells
        assert f"{100 * (chosen.ap - np.median(drawn)):+.2f}" in reader.cells
    assert {"ridge", "gp", "forest"} <= set(reader.cells)
    assert any(re.fullmatch(r"-?\d\.\d{3} \(-?\d\.\d{3} to -?\d\.\d{3}\)", cell) for cell in reader.cells)
    assert reader.cells[-6:-4] == ["device", "cpu, 1 threads"]
    assert reader.cells[-4:-2] == ["evaluations", str(len(found.candidates))]


def drawn_lines(outcome: Outcome, axis: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What the picture of one cost shows, by its legend: (n, 2) of MACs or parameters in full, and AP."""
    from matplotlib.figure import Figure

    from search.report import plots

    kept: list[Figure] = []
    monkeypatch.setattr(plots, "png", lambda figure: kept.append(figure) or b"")
    plots.accuracy_against_cost(outcome, axis)
    lines = {str(line.get_label()): np.column_stack(line.get_data()) for line in kept[0].axes[0].lines}
    return lines


def test_the_picture_of_each_cost_has_its_own_front(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = tiny_problem()
    budgets = (problem.budgets[1], Budget("few", (("params", float(problem.costs.of_largest()[1]) * 0.7),)))
    problem = replace(problem, budgets=budgets)
    study = SearchStudy(open_storage("memory"), "s", problem, {}, StudyOptions(poll=0.01))
    options = PlanOptions(0, 40, 20, 3)
    search(study, problem, load_strategy("random", problem), Formula(problem.space), options)
    found = Outcome.of(problem, study.candidates(), study.plans())
    for axis in ("macs", "params"):
        lines = drawn_lines(found, axis, monkeypatch)
        front = lines["front of this cost"]
        assert len(front) == len(found.front_on(axis))
        assert (np.diff(front, axis=0) > 0).all()
        assert len(lines["front of all costs"]) == len(found.front)


def test_the_picture_marks_what_was_found_of_litepose(
    outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = next(iter(outcome.chosen.values()))
    found = replace(outcome, references={"litepose-xs": best})
    lines = drawn_lines(found, "macs", monkeypatch)
    assert lines["LitePose architectures"][:, 1].tolist() == [100 * best.ap]
    assert "front of all costs" not in lines


def test_a_short_search_has_a_report_too(outcome: Outcome, tmp_path: Path) -> None:
    problem = outcome.problem
    few = Outcome.of(problem, outcome.candidates[:3], [])
    write_report(few, {}, [], tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"accuracy_macs.png", "progress.png"}


def test_gene_effects_are_those_of_the_predictor(outcome: Outcome) -> None:
    problem = outcome.problem

    class Resolution:
        """AP that depends on the resolution alone."""

        def predict(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return 0.1 * codes[:, 0], np.zeros(len(codes))

    effects = gene_effects(problem, Resolution())  # type: ignore[arg-type]
    choices = problem.space.num_choices[0]
    assert (effects[0].name, effects[0].ap) == ("resolution", pytest.approx(0.1 * (choices - 1)))
    assert all(effect.ap == 0 for effect in effects[1:])
    assert all(0 < effect.cost < 1 for effect in effects)


def test_progress_ends_at_one_and_never_falls(outcome: Outcome) -> None:
    volumes = hypervolumes(outcome.problem, outcome.candidates)
    assert volumes[-1] == 1
    assert (np.diff(volumes) >= 0).all()
