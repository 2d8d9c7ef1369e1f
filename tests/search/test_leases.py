"""Who loses a candidate and when: stopped workers, dead ones, slow ones."""

from __future__ import annotations

import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from analytic import Formula, Scored, tiny_problem
from optuna.exceptions import DuplicatedStudyError

from search.report.outcome import Outcome
from search.strategies.contract import History, Problem, load_strategy
from search.strategies.plan import PlanOptions, next_plan
from search.study.candidate import Candidate
from search.study.storage import open_storage
from search.study.study import SearchStudy, StudyOptions
from search.study.worker import search
from supernet import Arch

PLAN = PlanOptions(evaluations=6, batch=3)
TWICE = StudyOptions(attempts=2, poll=0.01)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return tiny_problem((0.5, 0.8), "nano")


class Breaks(Formula):
    """Raises instead of scoring the third architecture that it ever sees, `times` times."""

    def __init__(self, problem: Problem, error: type[BaseException], times: int) -> None:
        super().__init__(problem.space)
        self.error, self.times = error, times
        self.seen: list[Arch] = []

    def __call__(self, arch: Arch) -> Scored:
        if arch not in self.seen:
            self.seen.append(arch)
        if self.seen.index(arch) == 2 and self.times:
            self.times -= 1
            raise self.error
        return super().__call__(arch)


def start_again_and_again(problem: Problem, error: type[BaseException], times: int) -> list[Candidate]:
    """The search by one worker after the other, until it is finished."""
    storage, evaluate = open_storage("memory"), Breaks(problem, error, times)
    while True:
        study = SearchStudy(storage, "s", problem, {}, TWICE)
        try:
            found = search(study, problem, load_strategy("random", problem), evaluate, PLAN)
        except error:
            continue
        # No claim is left over.
        assert [one.study_name for one in storage.get_all_studies()] == ["s"]
        return found


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_being_stopped_is_not_the_candidates_fault(problem: Problem, error: type[BaseException]) -> None:
    found = start_again_and_again(problem, error, 5)
    whole = start_again_and_again(problem, error, 0)
    assert [(c.codes, c.state, c.stats) for c in found] == [(c.codes, "done", c.stats) for c in whole]
    lease = found[2].lease
    assert lease is not None
    assert (lease.attempt, lease.returned) == (6, 5)


def test_finished_trials_share_what_is_equal_in_them(problem: Problem, tmp_path: Path) -> None:
    where = str(tmp_path / "study.journal")
    study = SearchStudy(storage := open_storage(where), "s", problem, {}, TWICE, where)
    search(study, problem, load_strategy("random", problem), Formula(problem.space), PLAN)
    (fresh,), (mine,) = (one.get_all_studies() for one in (open_storage(where), storage))
    read = storage.get_all_trials(mine._study_id, deepcopy=False)
    assert read == open_storage(where).get_all_trials(fresh._study_id)
    kinds = [kind for trial in read for kind in trial.distributions.values()]
    assert len({id(kind) for kind in kinds}) == len(set(kinds)) < len(kinds)


def test_a_candidate_that_breaks_its_workers_is_given_up_and_told(problem: Problem) -> None:
    found = start_again_and_again(problem, RuntimeError, 2)
    assert [one.state for one in found] == ["done", "done", "failed", "done", "done", "done"]
    outcome = Outcome.of(problem, found, [])
    assert [one.number for one in outcome.failed] == [2]
    assert len(outcome.candidates) == 5
    assert "given up, since worker after worker died over them: candidates 2;" in outcome.warnings[0]
    assert outcome.to_dict()["failed"][0]["codes"] == list(found[2].codes)
    assert Outcome.of(problem, found[:2], []).warnings == ()


def first_candidate(problem: Problem, study: SearchStudy) -> Candidate:
    """The only one of a search, claimed."""
    options = PlanOptions(evaluations=1, batch=1)
    with study.planning(0) as mine:
        assert mine
        study.add_plan(
            0, next_plan(problem, load_strategy("random", problem), options, History.empty(problem), [])
        )
        study.enqueue(study.plans(), [])
    candidate = study.claim()
    assert candidate is not None
    return candidate


def test_a_slow_worker_that_renewed_meanwhile_keeps_its_candidate(problem: Problem) -> None:
    storage = open_storage("memory")
    once = StudyOptions(lease=0.2, attempts=1)
    mine, other = (SearchStudy(storage, "s", problem, {}, once) for _ in range(2))
    candidate = first_candidate(problem, mine)
    assert other.claim() is None
    time.sleep(0.25)
    stale = deepcopy(other._storage.trial(candidate.trial_id))
    with mine.working(candidate):
        assert candidate.lease is not None
        mine._storage.set(candidate.trial_id, "lease", replace(candidate.lease, beat=1).to_dict())
        # What the other one read before is out of date: over, and one death too many.
        assert other._take(other._study, stale, 1) is None
    assert mine.finish(candidate, {"AP": 0.3})
    assert [one.state for one in mine.candidates()] == ["done"]


def test_a_worker_that_lost_its_candidate_leaves_the_new_lease_alone(problem: Problem) -> None:
    storage = open_storage("memory")
    options = StudyOptions(lease=0.1)
    mine, other = (SearchStudy(storage, "s", problem, {}, options) for _ in range(2))
    candidate = first_candidate(problem, mine)
    # Its silence counts from when the other one first sees it.
    assert other.claim() is None
    time.sleep(0.15)
    taken = other.claim()
    assert taken is not None
    with pytest.raises(KeyboardInterrupt), mine.working(candidate):
        raise KeyboardInterrupt
    assert mine.candidates()[0].lease == taken.lease


def test_a_turn_that_is_gone_before_it_is_joined(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_storage("memory")
    study = SearchStudy(storage, "s", problem, {}, TWICE)

    def made_by_another_and_deleted(*_: object) -> int:
        raise DuplicatedStudyError

    monkeypatch.setattr(storage, "create_new_study", made_by_another_and_deleted)
    with study.planning(0) as mine:
        assert not mine
