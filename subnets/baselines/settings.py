"""A family's numbers, from plain values to its frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import MISSING
from dataclasses import fields
from typing import Any
from typing import TypeVar

from supernet.checks import LARGEST_SIZE
from supernet.checks import check_keys
from supernet.checks import shown
from supernet.errors import InputError

S = TypeVar("S")


def read_settings(kind: type[S], value: Mapping[str, Any]) -> S:
    """`value` as the dataclass `kind`, whose fields are integers, numbers or (nested) tuples of integers.

    Raises:
        InputError: a key is missing or unknown, or a value is of another type or out of range.
    """
    known = fields(kind)  # type: ignore[arg-type]
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    check_keys(value, required, [f.name for f in known], "settings")
    read = {f.name: _read(value[f.name], str(f.type), f"settings {f.name}") for f in known if f.name in value}
    return kind(**read)


def require_at_least(least: int, **settings: float | Sequence[float]) -> None:
    """Raise InputError unless each of `settings`, a number or several, is `least` or more."""
    for name, value in settings.items():
        if min([value] if isinstance(value, int | float) else value, default=least) < least:
            raise InputError(f"settings {name}: {shown(value)} must be {least} or more")


def require_count(count: int, **settings: Sequence[Any]) -> None:
    """Raise InputError unless each of `settings` has `count` entries."""
    for name, value in settings.items():
        if len(value) != count:
            raise InputError(f"settings {name}: expected {count} numbers, found {len(value)}")


def _read(value: Any, kind: str, what: str) -> Any:
    if kind.startswith("tuple["):
        if not isinstance(value, list | tuple):
            raise InputError(f"{what}: expected a list, found {shown(value)}")
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        return tuple(_read(item, inner, what) for item in value)
    return _number(value, kind, what)


def _number(value: Any, kind: str, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float if kind == "float" else int):
        raise InputError(
            f"{what}: expected {'a number' if kind == 'float' else 'integers'}, found {shown(value)}"
        )
    if not 0 <= value <= LARGEST_SIZE:
        raise InputError(f"{what}: {value} is not between 0 and {LARGEST_SIZE}")
    return value
