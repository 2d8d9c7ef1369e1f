"""`strategy=optuna:NAME`: a sampler of Optuna that knows several objectives proposes what to evaluate."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from supernet.errors import InputError
from supernet.space import Codes

from ..costs.contract import log_cost
from .contract import History, Problem
from .operators import sample_feasible

# Proposals for one architecture that is feasible and new, before uniform draws take over.
TRIES = 10


class OptunaStrategy:
    """A sampler of Optuna, as people would use it on their own.

    Every gene is an integer (its choices are ascending), AP is maximised and the logarithm of every cost that
    a budget limits is minimised. Proposals over all budgets and such as are known are dropped.

    Args:
        problem: what is searched.
        sampler: name of a class in `optuna.samplers` (`GPSampler`, `TPESampler`, `NSGAIISampler`).
        options: arguments of that class; its `seed` follows from the search's.

    Raises:
        InputError: there is no such sampler, it takes no such option, or it knows one objective only.
    """

    def __init__(self, problem: Problem, sampler: str, **options: Any) -> None:
        self._problem = problem
        self._name, self._options = sampler, options
        self._make = _find(sampler)
        genes = zip(problem.space.genes, problem.space.num_choices.tolist(), strict=True)
        self._genes: dict[str, BaseDistribution] = {
            gene.name: IntDistribution(0, choices - 1) for gene, choices in genes
        }
        self.ask(History.empty(problem), 1, np.random.default_rng(0))

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(count, G) codes; see `Strategy.ask`."""
        space, known = self._problem.space, set(history.known)
        found = np.zeros((0, len(space.genes)), dtype=np.int64)
        with self._refused():
            study = self._study(history, int(rng.integers(2**31)))
            for _ in range(TRIES * count):
                trial = study.ask(self._genes)
                row = space.canonical(
                    np.array([[trial.params[name] for name in self._genes]], dtype=np.int64)
                )
                if row.tobytes() in known or not self._problem.feasible(row)[0]:
                    study.tell(trial, state=TrialState.FAIL)
                    continue
                known.add(row.tobytes())
                found = np.concatenate([found, row])
                if len(found) == count:
                    return found
        rest = sample_feasible(space, rng, count - len(found), self._problem.feasible, known)
        return np.concatenate([found, rest])

    def _study(self, history: History, seed: int) -> optuna.Study:
        """A study in memory that has seen `history` in its order, generation by generation."""
        seeded = {"seed": seed} if "seed" in inspect.signature(self._make).parameters else {}
        sampler = self._make(**{**seeded, **self._options})
        directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in self._problem.axes)]
        study = optuna.create_study(sampler=sampler, directions=directions)
        costs = log_cost(self._problem.on_axes(history.costs))
        for codes, ap, paid in zip(history.codes.tolist(), history.ap.tolist(), costs.tolist(), strict=True):
            params = dict(zip(self._genes, codes, strict=True))
            study.add_trial(create_trial(state=TrialState.RUNNING, params=params, distributions=self._genes))
            trial = study.get_trials(deepcopy=False)[-1]
            if isinstance(sampler, BaseGASampler):
                sampler.get_trial_generation(study, trial)
            study.tell(trial.number, [ap, *paid])
        return study

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        """Optuna's refusals as one line."""
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                yield
        except (TypeError, ValueError, ImportError, NotImplementedError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"strategy=optuna:{self._name} with {self._options}: {reason}") from None
        finally:
            optuna.logging.set_verbosity(verbosity)


def _find(name: str) -> Callable[..., BaseSampler]:
    names = [one for one in optuna.samplers.__all__ if one.endswith("Sampler") and one[:4] != "Base"]
    if name not in names:
        raise InputError(f"strategy=optuna:{name} is no sampler of Optuna; choose from {', '.join(names)}")
    made: Callable[..., BaseSampler] = getattr(optuna.samplers, name)
    return made
