"""Small checks of values that came from a file; each failure is one line that names the value."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any


class InputError(ValueError):
    """Bad input from the user: one line that names the thing and the mend.

    Library code raises it; the commands print it without a traceback and exit with status 2.
    """


LARGEST_SIZE = 65536


def shown(value: Any) -> str:
    """A short form of any value for a message (a file may hold a huge or deeply shared one)."""
    return reprlib.repr(value)


def positive_int(value: Any, what: str) -> int:
    """`value` if it is an integer in 1..65536, else InputError naming `what`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{what}: expected an integer, found {shown(value)}")
    if not 1 <= value <= LARGEST_SIZE:
        raise InputError(f"{what}: {value} is not between 1 and {LARGEST_SIZE}")
    return value


def positive_ints(value: Any, what: str) -> tuple[int, ...]:
    """`value` as a tuple if it is a non-empty list of positive integers, else InputError naming `what`."""
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{what}: expected a list of integers, found {shown(value)}")
    return tuple(positive_int(item, what) for item in value)


def booleans(value: Any, what: str) -> tuple[bool, ...]:
    """`value` as a tuple if it is a non-empty list of true and false, else InputError naming `what`."""
    if not isinstance(value, list | tuple) or not value or not all(isinstance(item, bool) for item in value):
        raise InputError(f"{what}: expected a list of true and false, found {shown(value)}")
    return tuple(value)


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
            raise InputError(f"{prefix}unknown key {shown(key)} (known: {', '.join(sorted(known))})")


def check_schema(value: Mapping[Any, Any], expected: int, what: str = "") -> None:
    """Raise InputError unless `value`'s `schema` is `expected` or absent (a file written by hand)."""
    found = value.get("schema", expected)
    if isinstance(found, bool) or found != expected:
        prefix = f"{what}: " if what else ""
        raise InputError(f"{prefix}schema {shown(found)} is not {expected}; update the toolkit")
