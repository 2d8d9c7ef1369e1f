"""Budgets as a user writes them."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import Any


@dataclass
class BudgetOptions:
    """Budgets as a user writes them.

    Attributes:
        macs: MACs each: `0.9G`, `300M`; `30%` or a number up to 1 is a share of the largest subnet; the name
            or file of an architecture means as much as it has.
        params: parameters each, in the same forms.
        latency_ms: milliseconds each, by the table that `latency` names; `30%` is a share of the largest
            subnet.
        names: one for each of the above in that order; default: the budget as it was
            written, of a file its name without folder and suffix.
        named: further budgets by name, each with one or more limits, {phone: {macs: 0.9G, params: 2M}}.
        convention: how MACs are counted: `exact`, or `litepose` as the paper does.
    """

    macs: list[Any] = field(default_factory=list)
    params: list[Any] = field(default_factory=list)
    latency_ms: list[Any] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)
    convention: str = "exact"
