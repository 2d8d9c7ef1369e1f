"""One worker of a shared search, to be run as a process of its own."""

from __future__ import annotations

from analytic import Formula, tiny_problem

from search.strategies.contract import Problem, load_strategy
from search.strategies.plan import PlanOptions
from search.study.storage import open_storage, quiet_optuna
from search.study.study import SearchStudy, StudyOptions
from search.study.worker import search

OPTIONS = PlanOptions(seed=3, evaluations=10, batch=5, baseline=1)
STRATEGY = {"initial": 5}


def shared_problem() -> Problem:
    """Few genes, so that databases have little to write."""
    return tiny_problem((0.5, 0.8), "nano")


def work(where: str, log: str, delay: float, lease: float) -> None:
    """Take part in the search; every evaluation takes `delay` seconds and leaves a line in the file `log`."""
    quiet_optuna()
    problem = shared_problem()
    options = StudyOptions(lease=lease, poll=0.02, patience=20)
    study = SearchStudy(open_storage(where, 20), "shared", problem, {"a": 1}, options, where)
    evaluate = Formula(problem.space, delay, log)
    search(study, problem, load_strategy("evolution", problem, STRATEGY), evaluate, OPTIONS)
