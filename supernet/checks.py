"""Small checks of values that came from a file; each failure is one line that names the value."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

from .errors import InputError

LARGEST_SIZE = 65536


def positive_int(value: Any, what: str) -> int:
    """`value` if it is an integer in 1..65536, else InputError naming `what`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{what}: expected an integer, found {value!r:.60}")
    if not 1 <= value <= LARGEST_SIZE:
        raise InputError(f"{what}: {value} is not between 1 and {LARGEST_SIZE}")
    return value


def positive_ints(value: Any, what: str) -> tuple[int, ...]:
    """`value` as a tuple if it is a non-empty list of positive integers, else InputError naming `what`."""
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{what}: expected a list of integers, found {value!r:.60}")
    return tuple(positive_int(item, what) for item in value)


def check_keys(
    value: Mapping[Any, Any], required: Iterable[str], optional: Iterable[str] = (), what: str = ""
) -> None:
    """Raise InputError unless `value` has every required key and no key beyond the optional ones."""
    prefix = f"{what}: " if what else ""
    required = tuple(required)
    for key in required:
        if key not in value:
            raise InputError(f"{prefix}key {key!r} is missing")
    known = {*required, *optional}
    for key in value:
        if key not in known:
            raise InputError(f"{prefix}unknown key {key!r:.60} (known: {', '.join(sorted(known))})")
