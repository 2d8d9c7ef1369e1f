"""Budgets: named limits of cost, from what a user writes to numbers that were checked against the space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supernet.arch import Arch
from supernet.cost import count_macs, count_params
from supernet.errors import InputError
from supernet.names import conf_names
from supernet.space import Codes

from ..options import BudgetOptions
from ..strategies.operators import Mask, require_some
from .tables import Costs, Floats, shown_cost

SUFFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
ARCH_FILES = (".yaml", ".json", ".json.gz")
KINDS = ("macs", "params", "latency_ms")


@dataclass(frozen=True)
class Budget:
    """One budget: upper limits of one or more costs."""

    name: str
    limits: tuple[tuple[str, float], ...]

    def admits(self, costs: Costs, values: Floats) -> Mask:
        """(N,) which of (N, C) costs stay within every limit."""
        inside = np.ones(len(values), dtype=bool)
        for cost, limit in self.limits:
            # A share of the largest subnet is a float; the subnet itself has to meet it.
            inside &= values[:, costs.column(cost)] <= limit * (1 + 1e-12)
        return inside

    def shown(self) -> str:
        """The limits for people."""
        return " and ".join(shown_cost(cost, limit) for cost, limit in self.limits)


def resolve_budgets(options: BudgetOptions, costs: Costs, num_joints: int) -> list[Budget]:
    """The budgets in numbers.

    Raises:
        InputError: none given, an unreadable or infeasible one, limits that contradict each other, or
        doubled names.
    """
    wanted = [(kind, value) for kind in KINDS for value in getattr(options, kind)]
    names = [str(name) for name in options.names] or [_default_name(kind, value) for kind, value in wanted]
    if len(names) != len(wanted):
        raise InputError(f"budgets.names has {len(names)} names for {len(wanted)} budgets")
    plain: list[tuple[str, dict[str, Any]]] = [
        (name, {kind: value}) for name, (kind, value) in zip(names, wanted, strict=True)
    ]
    for name, limits in options.named.items():
        if not isinstance(limits, dict) or not limits:
            raise InputError(
                f"budgets.named.{name}: expected limits such as {{macs: 0.9G}}, found {limits!r}"
            )
        plain.append((str(name), limits))
    if not plain:
        raise InputError("no budget given; for example budgets.macs=[0.3,0.65] or budgets.macs=[0.9G]")
    budgets = [_budget(name, limits, costs, num_joints) for name, limits in plain]
    for budget in budgets:
        if [other.name for other in budgets].count(budget.name) > 1:
            raise InputError(f"two budgets are named {budget.name!r}; set budgets.names")
        check_feasible(budget, costs)
    return budgets


def _default_name(kind: str, value: Any) -> str:
    unit = {"macs": "", "params": "-params", "latency_ms": "ms"}[kind]
    text = str(value)
    if text.endswith(ARCH_FILES):
        # A network's file, wherever it lies.
        text = Path(text.removesuffix(".gz")).stem
    return f"{text}{unit}".replace("%", "pct")


def _budget(name: str, limits: dict[str, Any], costs: Costs, num_joints: int) -> Budget:
    if not name or name != name.strip() or name.startswith(".") or set(name) & set("/\\:\0"):
        raise InputError(
            f"budget name {name!r} cannot name a folder; use letters, digits, dots and dashes (budgets.names)"
        )
    found = []
    for kind, value in limits.items():
        if kind not in costs.names:
            mend = "; name a measured device with latency=..." if kind == "latency_ms" else ""
            raise InputError(f"budget {name!r}: no cost {kind!r} here ({', '.join(costs.names)} are){mend}")
        found.append((str(kind), amount(value, str(kind), costs, num_joints)))
    return Budget(name, tuple(found))


def amount(value: Any, kind: str, costs: Costs, num_joints: int) -> float:
    """One limit in MACs, parameters or milliseconds.

    Raises:
        InputError: `value` is not a positive amount, a share, or an architecture.
    """
    largest = float(costs.of_largest()[costs.column(kind)])
    text = str(value).strip()
    try:
        if text.endswith("%"):
            number = float(text[:-1]) / 100 * largest
        elif text[-1:] in SUFFIXES and kind != "latency_ms":
            number = float(text[:-1]) * SUFFIXES[text[-1]]
        else:
            number = float(text)
            if kind != "latency_ms" and number <= 1:
                number *= largest
    except ValueError:
        number = _as_much_as(text, kind, costs, num_joints)
    if not np.isfinite(number) or number <= 0:
        raise InputError(f"budget {value!r} is not a positive amount of {kind}")
    return number


def _as_much_as(text: str, kind: str, costs: Costs, num_joints: int) -> float:
    looks_like_arch = text in conf_names("zoo") or text.endswith(ARCH_FILES)
    if not looks_like_arch:
        raise InputError(
            f"budget {text!r} is no amount of {kind}; write 0.9G, 300M, 30%, a share up to 1, or a network"
        )
    arch = Arch.load(text)
    if kind == "macs":
        return float(count_macs(arch, num_joints, costs.convention))
    if kind == "params":
        return float(count_params(arch, num_joints))
    return float(costs.predict(costs.space.encode([arch]))[0, costs.column(kind)])


def check_feasible(budget: Budget, costs: Costs) -> None:
    """Raise InputError, naming the reachable range, unless some architecture meets all limits of `budget`."""
    smallest, largest = costs.of_smallest(), costs.of_largest()
    for cost, limit in budget.limits:
        low, high = smallest[costs.column(cost)], largest[costs.column(cost)]
        if cost != "latency_ms" and limit < low:
            raise InputError(
                f"budget {budget.name!r} of {shown_cost(cost, limit)} is below the smallest subnet of space "
                f"{costs.space.name!r}; reachable: {shown_cost(cost, low)} to {shown_cost(cost, high)}"
            )
    ranges = "; ".join(
        f"{shown_cost(cost, smallest[costs.column(cost)])} to {shown_cost(cost, largest[costs.column(cost)])}"
        for cost, _ in budget.limits
    )

    def fits(codes: Codes) -> Mask:
        return budget.admits(costs, costs.predict(codes))

    what = f"budget {budget.name!r} ({budget.shown()}; reachable: {ranges})"
    require_some(costs.space, np.random.default_rng(0), fits, what)
