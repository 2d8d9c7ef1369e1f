"""The interface of search strategies, and how one is found by its name."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Collection, Mapping
from typing import Any, Protocol, cast

import numpy as np

from supernet.errors import InputError, shown
from supernet.space import Codes

from .operators import sample_fitting
from .problem import History, Problem


def whole_option(name: str, value: Any, least: int) -> int:
    """`value` if it is an integer of at least `least`, else InputError naming the option."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"strategy_options.{name}={shown(value)} must be a whole number, {least} or more")
    return value


def number_option(name: str, value: Any, most: float = math.inf, *, above_zero: bool = False) -> float:
    """`value` if it is a finite number in [0, `most`] (above 0 if so asked), else InputError naming it."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not known or not 0 <= value <= most or (above_zero and not value):
        low = "above 0" if above_zero else "0 or more"
        high = "" if math.isinf(most) else f", {most:g} at most"
        raise InputError(f"strategy_options.{name}={shown(value)} must be a number, {low}{high}")
    return float(value)


def names_option(name: str, value: Any, known: Collection[str]) -> tuple[str, ...]:
    """`value` as a tuple if it is a list of names from `known`, else InputError naming the option."""
    if not isinstance(value, list | tuple) or not all(one in known for one in value):
        raise InputError(f"strategy_options.{name}={shown(value)} must be a list of {', '.join(known)}")
    return tuple(value)


KNOWN = {
    "predictor": "search.strategies.predictor:PredictorStrategy",
    "evolution": "search.strategies.evolution:EvolutionStrategy",
    "random": "search.strategies.contract:RandomStrategy",
}


class Strategy(Protocol):
    """Says what to evaluate next.

    Made once per search as `Class(problem, **strategy_options)`. It keeps no state between calls:
    everything told so far comes with each call, so that a search stopped anywhere goes on exactly, with
    any number of workers.
    """

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """The next architectures to evaluate.

        Args:
            history: what was evaluated so far (empty at first).
            count: how many to propose at most.
            rng: the only source of randomness; it depends on the search's seed and the round alone.

        Returns:
            (m, G) integer codes of the space, m <= count. Rows in `history.known` are dropped; none left ends
            the search.
        """


def load_strategy(name: str, problem: Problem, options: Mapping[str, Any] | None = None) -> Strategy:
    """The strategy `name`: predictor, evolution, random, or a class of the user's own as
    `package.module:Class`.

    Raises:
        InputError: no such strategy, it has no `ask`, or an option that it does not take.
    """
    path = KNOWN.get(name, name)
    module, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module or not attribute:
        known = ", ".join(KNOWN)
        raise InputError(f"strategy {name!r} is not one of {known}, nor a class as package.module:Class")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        mend = "" if name in KNOWN else " (is its folder the present one, or in PYTHONPATH?)"
        raise InputError(f"strategy {name!r} cannot be imported: {error}{mend}") from None
    if not callable(factory) or not callable(getattr(factory, "ask", None)):
        raise InputError(f"strategy {name!r} is no class with a method ask(history, count, rng)")
    values = dict(options or {})
    try:
        inspect.signature(factory).bind(problem, **values)
    except TypeError as error:
        raise InputError(f"strategy_options of {name!r}: {error}") from None
    return cast(Strategy, factory(problem, **values))


class RandomStrategy:
    """Distinct uniform draws."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(count, G) codes; see `Strategy.ask`."""
        return sample_fitting(self._problem.space, rng, count, self._problem.fits, set(history.known))
