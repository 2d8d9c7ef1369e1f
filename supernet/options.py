"""Settings as dataclasses: their ranges are said where they are declared, and checked in one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, TypeVar, cast

from .errors import LARGEST_SIZE, InputError
from .errors import shown as brief

T = TypeVar("T")
# The largest whole number that generators and arrays take.
_LARGEST = 2**63 - 1
# `most` of what is counted one after another and not held: steps, images, seconds.
COUNTED = 10**9
# Of what a system starts: threads and processes.
STARTED = 1024
# Of images that are in memory at once.
BATCH = 8192


@dataclass(frozen=True)
class Rule:
    """What the values of one setting may be; None always passes, and of a list every item is held to it.

    Attributes:
        among: the texts to choose from, or a function that lists them.
        least, most: bounds that are allowed themselves; without a bound above, 65536 is one, since numbers
            lead to memory and time.
        above, below: bounds that are not.
        size: how many items a list has; None takes any number but none.
    """

    among: Sequence[str] | Callable[[], Sequence[str]] | None = None
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    size: int | None = None

    def check(self, name: str, value: Any) -> None:
        """Raise InputError, naming the setting, unless `value` may be."""
        many = isinstance(value, list | tuple)
        items = value if many else [] if value is None else [value]
        shown = list(value) if many else value
        if many and len(items) != (self.size or max(1, len(items))):
            raise InputError(f"{name}={shown} must be {'two' if self.size == 2 else 'one or more'} numbers")
        for item in items:
            known = self.among() if callable(self.among) else self.among
            if known is not None and item not in known:
                raise InputError(f"{name}={item!r} is not one of {', '.join(known)}")
            if known is None and isinstance(item, int) and abs(item) > _LARGEST:
                raise InputError(f"{name}: {brief(item)} has more than 64 bits")
            if known is None and not self._holds(item):
                raise InputError(f"{name}={shown} {self._told(many)}")
            if known is None and self.most is None:
                check_size(name, item)

    def _holds(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def _told(self, many: bool) -> str:
        if self.least is not None and self.most is not None and self.most < _LARGEST:
            return f"is not between {self.least:g} and {self.most:g}"
        if self.above is not None and self.below is not None:
            return f"must lie between {self.above:g} and {self.below:g}"
        if self.above == 0:
            most = "" if self.most is None else f", {self.most:g} at most"
            return ("must be positive numbers" if many else "must be a positive number") + most
        words = ((self.least, "{:g} or more"), (self.above, "more than {:g}"), (self.below, "below {:g}"))
        return "must be " + " and ".join(text.format(bound) for bound, text in words if bound is not None)


def option(default: T, **rule: Any) -> T:
    """A field of `Options` with a default (a list is copied) and the arguments of its `Rule`."""
    metadata = {"rule": Rule(**rule)}
    if isinstance(default, list):
        return cast(T, field(default_factory=lambda: list(default), metadata=metadata))
    return field(default=default, metadata=metadata)


def threads_option(default: T) -> T:
    """An `option` of how many threads compute: so many as a system may start."""
    return option(default, least=1, most=STARTED)


def scales_option(default: T) -> T:
    """An `option` of test-time scales; memory grows with their square."""
    return option(default, above=0, most=8)


def joints_option() -> int:
    """An `option` of the joints of a network that has no skeleton."""
    return option(14, least=1, most=1024)


def seed_option() -> int:
    """An `option` from which everything random derives."""
    return option(0, least=0, most=_LARGEST)


def check_size(name: str, value: Any) -> None:
    """Raise InputError for a number of a setting that nobody means."""
    if isinstance(value, int | float) and abs(value) > LARGEST_SIZE:
        raise InputError(f"{name}={brief(value)} is more than {LARGEST_SIZE}")


@dataclass
class Options:
    """A group of settings, `class SomeOptions(Options, group="train.some")`.

    Raises:
        InputError: a value that its `option` does not allow; the line names it with its group.
    """

    _group: ClassVar[str] = ""

    def __init_subclass__(cls, group: str = "") -> None:
        if group:
            cls._group = f"{group}."

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            name = f"{self._group}{each.name}"
            if "rule" in each.metadata:
                each.metadata["rule"].check(name, value)
            items = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(item, float) and not math.isfinite(item) for item in items):
                raise InputError(f"{name}={value} must be a finite number")
            for item in items if "rule" not in each.metadata else ():
                check_size(name, item)
            # YAML knows lists only.
            if isinstance(each.default, tuple) and isinstance(value, list):
                setattr(self, each.name, tuple(value))


def check_shape(name: str, shape: Sequence[int] | None) -> None:
    """Raise InputError unless `shape` is None or [height, width]."""
    if shape is not None and len(shape) != 2:
        raise InputError(f"{name}={list(shape)} is not [height, width]")


@dataclass
class CommandOptions(Options):
    """Settings of every command.

    Attributes:
        plugins: modules to import first, such as my.module; they register what you add (docs/extending.md).
    """

    plugins: list[str] = field(default_factory=list)


@dataclass
class EvaluationOptions(Options, group="evaluation"):
    """Protocol of a scored evaluation.

    Attributes:
        images: score the first so many images of the split; None scores all.
        batch_size: images per forward pass.
        flip: average with the mirrored image.
        scales: test-time scales, multiples of the resolution.
        square: letterbox images into a square input, for networks that take only one shape.
        calibration_images: training images that set the batch-norm statistics of a subnet of a supernet.
        memory: gigabytes of prepared images that are kept, all resolutions together (a process takes about
            half a gigabyte besides); what has no room is prepared anew each time.
        matching: the rule by which peaks join people: hungarian, greedy or first; null for the network's own.
    """

    images: int | None = option(None, least=1, most=COUNTED)
    batch_size: int = option(16, least=1, most=BATCH)
    flip: bool = False
    scales: tuple[float, ...] = scales_option((1.0,))
    square: bool = False
    calibration_images: int = option(64, least=1, most=COUNTED)
    memory: float = option(1.5, least=0)
    matching: str | None = None
