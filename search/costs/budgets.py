"""Budgets: named limits of cost, from what a user writes to numbers that were checked against the space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from supernet.errors import InputError, shown
from supernet.family import load_arch
from supernet.registry import conf_names
from supernet.space import Codes, SearchSpace

from ..strategies.operators import Mask, require_some
from .contract import COSTS, Costs, CostSettings, Floats, format_cost

ARCH_FILES = (".yaml", ".json", ".json.gz")


@dataclass(frozen=True)
class BudgetOptions:
    """Budgets as a user writes them, see `search.options.SearchCommand`.

    Attributes:
        limits: by the name of a cost, what a user wrote.
        names: one for each of them in that order; none gives them names of their own.
        named: further budgets by name, each with one or more limits.
        convention, precision: see `CostSettings`.
    """

    limits: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    convention: str = "exact"
    precision: str = "int8"

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> BudgetOptions:
        """The settings `budgets.*`.

        Raises:
            InputError: a key is neither a cost nor one of the others, or its value is of another type.
        """
        rest = dict(value)
        named = rest.pop("named", {})
        settings = {key: str(rest.pop(key)) for key in ("convention", "precision") if key in rest}
        names = _listed(rest.pop("names", []))
        for key in rest:
            if key not in COSTS:
                raise InputError(
                    f"budgets.{key}: no cost {key!r} is known ({', '.join(COSTS.names())} are; one of your "
                    "own: name its module in plugins=[...])"
                )
        if not isinstance(named, Mapping):
            raise InputError(f"budgets.named: expected budgets by name, found {shown(named)}")
        for name, limits in named.items():
            if not isinstance(limits, Mapping) or not limits:
                raise InputError(
                    f"budgets.named.{name}: expected limits such as {{macs: 0.9G}}, found {limits!r}"
                )
        limits = {key: _listed(values) for key, values in rest.items()}
        return cls(limits, tuple(map(str, names)), named, **settings)

    def costs(self) -> list[str]:
        """The costs that are limited, in the order of `COSTS`."""
        wanted = {key for key, values in self.limits.items() if values}
        wanted |= {str(key) for limits in self.named.values() for key in limits}
        return [name for name in COSTS.names() if name in wanted]


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else () if value is None else (value,)


@dataclass(frozen=True)
class Budget:
    """One budget: upper limits of one or more costs."""

    name: str
    limits: tuple[tuple[str, float], ...]

    def feasible(self, costs: Costs, values: Floats) -> Mask:
        """(N,) which of (N, C) costs stay within every limit."""
        inside = np.ones(len(values), dtype=bool)
        for cost, limit in self.limits:
            # A share of the largest subnet is a float; the subnet itself has to meet it.
            inside &= values[:, costs.column(cost)] <= limit * (1 + 1e-12)
        return inside

    def shown(self) -> str:
        """The limits for people."""
        return " and ".join(format_cost(cost, limit) for cost, limit in self.limits)


def resolve_budgets(options: BudgetOptions, costs: Costs) -> list[Budget]:
    """The budgets in numbers.

    Raises:
        InputError: none given, an unreadable or infeasible one, limits that contradict each other, or
        doubled names.
    """
    limits = [(cost, value) for cost in COSTS.names() for value in options.limits.get(cost, ())]
    names = options.names or tuple(_default_name(cost, value) for cost, value in limits)
    if len(names) != len(limits):
        raise InputError(f"budgets.names has {len(names)} names for {len(limits)} budgets")
    wanted: list[tuple[str, Mapping[str, Any]]] = [
        (name, {cost: value}) for name, (cost, value) in zip(names, limits, strict=True)
    ]
    wanted += [(str(name), limits) for name, limits in options.named.items()]
    if not wanted:
        raise InputError("no budget given; for example budgets.macs=[0.3,0.65] or budgets.macs=[0.9G]")
    budgets = [_budget(name, limits, costs) for name, limits in wanted]
    for budget in budgets:
        if [other.name for other in budgets].count(budget.name) > 1:
            raise InputError(f"two budgets are named {budget.name!r}; set budgets.names")
        check_feasible(budget, costs)
    return budgets


def _default_name(cost: str, value: Any) -> str:
    text = str(value)
    if text.endswith(ARCH_FILES):
        # A network's file, wherever it lies.
        text = Path(text.removesuffix(".gz")).stem
    return f"{text}{COSTS.get(cost).suffix()}".replace("%", "pct")


def _budget(name: str, limits: Mapping[str, Any], costs: Costs) -> Budget:
    if not name or name != name.strip() or name.startswith(".") or set(name) & set("/\\:\0"):
        raise InputError(
            f"budget name {name!r} cannot name a folder; use letters, digits, dots and dashes (budgets.names)"
        )
    for cost in limits:
        if cost not in costs.names:
            mend = COSTS.get(cost).mend if cost in COSTS else ""
            raise InputError(
                f"budget {name!r}: no cost {cost!r} here ({', '.join(costs.names)} are)"
                + (f"; {mend}" if mend else "")
            )
    return Budget(name, tuple((str(cost), amount(value, cost, costs)) for cost, value in limits.items()))


def amount(value: Any, name: str, costs: Costs) -> float:
    """One limit of the cost `name`, in its unit.

    Raises:
        InputError: `value` is not a positive amount, a share, or an architecture.
    """
    cost, text = COSTS.get(name), str(value).strip()
    largest = float(costs.of_largest()[costs.column(name)])
    try:
        if text.endswith("%"):
            number = float(text[:-1]) / 100 * largest
        else:
            number = cost.parse(text)
            if cost.counted and number <= 1:
                number *= largest
    except ValueError:
        number = _as_much_as(text, name, costs.space, costs.settings)
    if not np.isfinite(number) or number <= 0:
        raise InputError(f"budget {value!r} is not a positive amount of {name}")
    return number


def _as_much_as(text: str, name: str, space: SearchSpace, settings: CostSettings) -> float:
    if text not in conf_names("zoo") and not text.endswith(ARCH_FILES):
        raise InputError(
            f"budget {text!r} is no amount of {name}; write 0.9G, 300M, 30%, a share up to 1, or a network"
        )
    found = COSTS.get(name).of_arch(load_arch(text), space, settings)
    assert found is not None, "a cost that is not available was refused before"
    return found


def check_feasible(budget: Budget, costs: Costs) -> None:
    """Raise InputError, naming the reachable range, unless some architecture meets all limits of `budget`."""
    smallest, largest = costs.of_smallest(), costs.of_largest()
    ranges = []
    for name, limit in budget.limits:
        column = costs.column(name)
        low, high = format_cost(name, smallest[column]), format_cost(name, largest[column])
        if COSTS.get(name).monotone and limit < smallest[column]:
            raise InputError(
                f"budget {budget.name!r} of {format_cost(name, limit)} is below the smallest subnet of space "
                f"{costs.space.name!r}; reachable: {low} to {high}"
            )
        ranges.append(f"{low} to {high}")

    def feasible(codes: Codes) -> Mask:
        return budget.feasible(costs, costs.predict(codes))

    what = f"budget {budget.name!r} ({budget.shown()}; reachable: {'; '.join(ranges)})"
    require_some(costs.space, np.random.default_rng(0), feasible, what)


def loose_limits(budgets: Iterable[Budget], costs: Costs) -> list[str]:
    """A warning for each limit above what the largest subnet costs."""
    found = []
    for budget in budgets:
        for name, limit in budget.limits:
            most = float(costs.of_largest()[costs.column(name)])
            if limit > most * (1 + 1e-9):
                found.append(
                    f"budget {budget.name!r} of {format_cost(name, limit)} limits nothing: the largest "
                    f"subnet of space {costs.space.name!r} costs {format_cost(name, most)}"
                )
    return found
