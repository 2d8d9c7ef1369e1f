"""Checks of `strategy_options`: each failure is one line that names the option and what it may be."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from supernet.checks import shown
from supernet.errors import InputError


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
