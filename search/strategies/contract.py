"""What is searched and what is known of it; the interface of strategies, their names, the honest baseline."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np

from supernet.errors import InputError, shown
from supernet.registry import Registry
from supernet.space import Codes, SearchSpace

from ..costs.budgets import Budget
from ..costs.contract import Costs, Floats
from .operators import Mask, sample_feasible


@dataclass(frozen=True)
class Problem:
    """A search: raise AP at every cost up to the loosest budget.

    Attributes:
        costs: the costs of the space's architectures.
        budgets: what to pick from the front.
        num_joints: J, the number of joints.
    """

    costs: Costs
    budgets: tuple[Budget, ...]
    num_joints: int = 14

    @property
    def space(self) -> SearchSpace:
        """The space."""
        return self.costs.space

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The costs that budgets limit, the most often limited one first: the front's axes besides AP."""
        named = [cost for budget in self.budgets for cost, _ in budget.limits] or ["macs"]
        return tuple(sorted(dict.fromkeys(named), key=lambda cost: -named.count(cost)))

    def on_axes(self, costs: Floats) -> Floats:
        """(N, A) the columns of (N, C) costs that are axes of the front."""
        return costs[:, [self.costs.column(name) for name in self.axes]]

    def feasible_costs(self, costs: Floats) -> Mask:
        """(N,) which of (N, C) costs meet at least one budget."""
        inside = np.zeros(len(costs), dtype=bool)
        for budget in self.budgets:
            inside |= budget.feasible(self.costs, costs)
        return inside if self.budgets else np.ones(len(costs), dtype=bool)

    def feasible(self, codes: Codes) -> Mask:
        """(N,) which of (N, G) codes meet at least one budget."""
        return self.feasible_costs(self.costs.predict(codes))


@dataclass(frozen=True)
class History:
    """The finished evaluations, in the order in which they were planned.

    Attributes:
        codes: (N, G) architectures.
        ap: (N,) measured AP in [0, 1].
        costs: (N, C) their costs.
        known: bytes of every row that was planned, finished or not; none is evaluated twice.
    """

    codes: Codes
    ap: Floats
    costs: Floats
    known: frozenset[bytes]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def empty(cls, problem: Problem) -> History:
        """Nothing known."""
        genes, columns = len(problem.space.genes), len(problem.costs.names)
        return cls(np.zeros((0, genes), dtype=np.int64), np.zeros(0), np.zeros((0, columns)), frozenset())

    @classmethod
    def of(cls, problem: Problem, codes: Codes, ap: Floats) -> History:
        """The history of (N, G) codes that scored (N,) AP."""
        known = frozenset(row.tobytes() for row in np.ascontiguousarray(codes))
        return cls(codes, np.asarray(ap, dtype=np.float64), problem.costs.predict(codes), known)


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


def _require_ask(factory: Callable[..., Strategy]) -> None:
    if not callable(factory) or not callable(getattr(factory, "ask", None)):
        raise InputError("is no class with a method ask(history, count, rng)")


STRATEGIES: Registry[Callable[..., Strategy]] = Registry(
    "strategy",
    {
        "predictor": "search.strategies.predictor:PredictorStrategy",
        "evolution": "search.strategies.evolution:EvolutionStrategy",
        "random": "search.strategies.contract:RandomStrategy",
        "optuna": "search.strategies.samplers:OptunaStrategy",
    },
    _require_ask,
)


def load_strategy(name: str, problem: Problem, options: Mapping[str, Any] | None = None) -> Strategy:
    """The strategy `name`: one of `STRATEGIES`, or a class of the user's own as `package.module:Class`.

    What follows a colon after one of `STRATEGIES` is its first argument: `optuna:GPSampler`.

    Raises:
        InputError: no such strategy, it has no `ask`, or an option that it does not take.
    """
    known, _, argument = name.partition(":")
    first = (argument,) if argument and known in STRATEGIES else ()
    is_own = not first and (":" in name or "." in name)
    factory = _own_class(name) if is_own else STRATEGIES.get(known)
    values = dict(options or {})
    try:
        inspect.signature(factory).bind(problem, *first, **values)
    except TypeError as error:
        raise InputError(f"strategy_options of {name!r}: {error}") from None
    return factory(problem, *first, **values)


def _own_class(name: str) -> Callable[..., Strategy]:
    module, _, attribute = name.rpartition(":" if ":" in name else ".")
    try:
        factory = cast("Callable[..., Strategy]", getattr(importlib.import_module(module), attribute))
        _require_ask(factory)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"strategy {name!r} cannot be imported: {error} "
            "(is its folder the present one, or in PYTHONPATH?)"
        ) from None
    except InputError as error:
        raise InputError(f"strategy {name!r} {error}") from None
    return factory


class RandomStrategy:
    """Distinct uniform draws."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    def ask(self, history: History, count: int, rng: np.random.Generator) -> Codes:
        """(count, G) codes; see `Strategy.ask`."""
        return sample_feasible(self._problem.space, rng, count, self._problem.feasible, set(history.known))
