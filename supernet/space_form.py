"""The plain form of a search space (YAML), read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .arch import NUM_HEADS
from .arch import NUM_STAGES
from .arch import RESOLUTION_STEP
from .arch import SWITCHES
from .checks import booleans
from .checks import check_keys
from .checks import check_schema
from .checks import positive_ints
from .checks import shown
from .errors import InputError

SCHEMA = 1
# Cost tables hold every combination of up to four neighbouring choices.
MAX_CHOICES = 32


@dataclass(frozen=True)
class StageChoices:
    """Choices of one stage, each ascending: output width, depth, and kernel and expansion of every block."""

    width: tuple[int, ...]
    depth: tuple[int, ...]
    kernel: tuple[int, ...]
    expansion: tuple[int, ...]


def read_choices(value: Any, default_name: str) -> dict[str, Any]:
    """The fields of a SearchSpace from its plain form.

    Raises:
        InputError: a choice is missing, doubled, of the wrong type, or not of a size that the network can
            have.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"expected a mapping, found {type(value).__name__}")
    check_keys(
        value, required=("resolution", "stem", "stages", "head"), optional=("schema", "name", *SWITCHES)
    )
    check_schema(value, SCHEMA)
    name = value.get("name", default_name)
    if not isinstance(name, str) or not name:
        raise InputError(f"name: expected a text, found {shown(name)}")
    stages, head = value["stages"], value["head"]
    lists = [("stages", stages, NUM_STAGES), ("head", head, NUM_HEADS)]
    lists += [(key, value[key], count) for key, count in SWITCHES.items() if key in value]
    for key, found, count in lists:
        if not isinstance(found, list | tuple) or len(found) != count:
            raise InputError(f"{key}: expected a list of {count}, found {shown(found)}")
    return {
        "name": name,
        "resolution": _choices(value["resolution"], "resolution", multiple_of=RESOLUTION_STEP),
        "stem": _choices(value["stem"], "stem"),
        "stages": tuple(_stage_choices(stage, f"stage {i}") for i, stage in enumerate(stages, start=1)),
        "head": tuple(_choices(widths, f"head {i}") for i, widths in enumerate(head, start=1)),
        **{key: _switches(value[key], key) for key in SWITCHES if key in value},
    }


def _switches(value: Any, what: str) -> tuple[tuple[int, ...], ...]:
    found = tuple(booleans(choices, f"{what} {i}") for i, choices in enumerate(value, start=1))
    for i, choices in enumerate(found, start=1):
        if len(set(choices)) != len(choices):
            raise InputError(f"{what} {i}: a choice is listed twice in {list(choices)}")
    return tuple(tuple(sorted(map(int, choices))) for choices in found)


def _choices(value: Any, what: str, multiple_of: int = 1, odd: bool = False) -> tuple[int, ...]:
    choices = positive_ints(value, what)
    if len(choices) > MAX_CHOICES:
        raise InputError(f"{what}: {len(choices)} choices; at most {MAX_CHOICES} are possible")
    if len(set(choices)) != len(choices):
        raise InputError(f"{what}: a choice is listed twice in {list(choices)}")
    for choice in choices:
        if choice % multiple_of:
            raise InputError(f"{what}: {choice} is not a multiple of {multiple_of}")
        if odd and choice % 2 == 0:
            raise InputError(f"{what}: {choice} is even; kernels are odd (3, 5, 7)")
    return tuple(sorted(choices))


def _stage_choices(value: Any, what: str) -> StageChoices:
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: expected a mapping, found {type(value).__name__}")
    check_keys(value, required=("width", "depth", "kernel", "expansion"), what=what)
    return StageChoices(
        width=_choices(value["width"], f"{what} width"),
        depth=_choices(value["depth"], f"{what} depth"),
        kernel=_choices(value["kernel"], f"{what} kernel", odd=True),
        expansion=_choices(value["expansion"], f"{what} expansion"),
    )
