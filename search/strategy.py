"""The interface of search strategies, and how one is found by its name."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any
from typing import Protocol
from typing import cast

import numpy as np

from supernet.errors import InputError
from supernet.space import Codes

from .problem import History
from .problem import Problem

KNOWN = {
    "predictor": "search.predictor:PredictorStrategy",
    "evolution": "search.evolution:EvolutionStrategy",
    "random": "search.random_search:RandomStrategy",
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
