"""Bad input as one line that names the thing, with small checks of values that came from a file, and the end
of a command whose output nobody reads.
"""

from __future__ import annotations

import os
import re
import reprlib
import select
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, fields
from typing import Any, TypeVar

S = TypeVar("S")


class InputError(ValueError):
    """Bad input from the user: one line that names the thing and the mend.

    Library code raises it; the commands print it without a traceback and exit with status 2.
    """

    def __str__(self) -> str:
        return message(super().__str__())


# How torch, OpenCV, C++ and the system say that there is no memory left.
_EXHAUSTED = re.compile("(can't|cannot|failed to) allocate|out of memory|bad_alloc", re.IGNORECASE)


def is_exhausted(error: BaseException) -> bool:
    """Whether the machine or the device has no memory left for what was asked."""
    said = not isinstance(error, InputError) and _EXHAUSTED.search(str(error))
    return isinstance(error, MemoryError) or bool(said)


STDOUT, EXIT_UNREAD = 1, 1  # a descriptor, and what rich's consoles exit with, too


@contextmanager
def until_unread() -> Iterator[None]:
    """Run a command, which ends without a word where nobody reads its standard output any more (`| head`)."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Another pipe may be the broken one: that of a worker.
        asked = select.poll()
        asked.register(STDOUT, 0)
        if not any(event & select.POLLERR for _, event in asked.poll(0)):
            raise
        # What is left in the buffer is written when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
        sys.exit(EXIT_UNREAD)


# Signs of a message: what a file holds is cut in the middle, the thing and the mend stay.
LONGEST = 1000
# A terminal obeys these, or shows what comes after in another order; names in files that someone was sent may
# hold them. Halves of surrogate pairs cannot be written at all.
_OBEYED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}
_OBEYED |= {
    code: f"\\u{code:04x}"
    for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000))
}


def message(text: str) -> str:
    """`text` as it can be shown: not too long, and without what a terminal would obey."""
    text = text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"
    return text.translate(_OBEYED)


LARGEST_SIZE = 65536
# Cost tables hold every combination of up to four neighbouring choices.
MAX_CHOICES = 32


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


def choices_of(value: Any, what: str, multiple_of: int = 1) -> tuple[int, ...]:
    """The choices of one dimension, ascending.

    Raises:
        InputError: no list of different positive integers that are multiples of `multiple_of`.
    """
    choices = positive_ints(value, what)
    if len(choices) > MAX_CHOICES:
        raise InputError(f"{what}: {len(choices)} choices; at most {MAX_CHOICES} are possible")
    if len(set(choices)) != len(choices):
        raise InputError(f"{what}: a choice is listed twice in {list(choices)}")
    for choice in choices:
        if choice % multiple_of:
            raise InputError(f"{what}: {choice} is not a multiple of {multiple_of}")
    return tuple(sorted(choices))


def read_fields(
    kind: type[S], value: Mapping[str, Any], what: str = "", **readers: Callable[[Any], Any]
) -> S:
    """`value` as the dataclass `kind`, whose fields are texts, integers, numbers or (nested) tuples of them,
    or what `readers` make of their values.

    Raises:
        InputError: a key is missing or unknown, or a value is of another type or out of range.
    """
    known = fields(kind)  # type: ignore[arg-type]
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    check_keys(value, required, [f.name for f in known], what)
    prefix = f"{what} " if what else ""
    return kind(
        **{
            f.name: readers[f.name](value[f.name])
            if f.name in readers
            else _read(value[f.name], str(f.type), f"{prefix}{f.name}")
            for f in known
            if f.name in value
        }
    )


def _read(value: Any, kind: str, what: str) -> Any:
    if kind.startswith("tuple["):
        if not isinstance(value, list | tuple):
            raise InputError(f"{what}: expected a list, found {shown(value)}")
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        return tuple(_read(item, inner, what) for item in value)
    if kind == "str":
        if not isinstance(value, str):
            raise InputError(f"{what}: expected a text, found {shown(value)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float if kind == "float" else int):
        raise InputError(
            f"{what}: expected {'a number' if kind == 'float' else 'integers'}, found {shown(value)}"
        )
    if not 0 <= value <= LARGEST_SIZE:
        raise InputError(f"{what}: {value} is not between 0 and {LARGEST_SIZE}")
    return value


def as_lists(value: Any) -> Any:
    """`value` with lists in the place of its tuples, as YAML and JSON have them."""
    return [as_lists(item) for item in value] if isinstance(value, tuple) else value
