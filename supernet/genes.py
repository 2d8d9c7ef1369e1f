"""The plain form of a search space (YAML), read and checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .arch import NUM_HEADS, NUM_STAGES, RESOLUTION_STEP, SWITCHES, Arch, Stage
from .errors import InputError, booleans, check_keys, check_schema, positive_ints, shown

if TYPE_CHECKING:
    from .space import SearchSpace

# A switch whose only choice this is has no gene, so that codes are as they were before there were switches.
ALWAYS_ON = (1,)


@dataclass(frozen=True)
class Gene:
    """One dimension of a space.

    Attributes:
        name: dotted name (`resolution`, `stages.0.width`, `stages.0.kernel.3`, `head.1`, `fusion.0`).
        choices: ascending values; a code is an index into them.
        stage: the stage it belongs to, or None.
        block: the block of that stage whose kernel or expansion it is, or None.
    """

    name: str
    choices: tuple[int, ...]
    stage: int | None = None
    block: int | None = None


def genes_of(space: SearchSpace) -> Iterator[Gene]:
    """The genes of a space, in the order of its codes."""
    yield Gene("resolution", space.resolution)
    yield Gene("stem", space.stem)
    for i, stage in enumerate(space.stages):
        yield Gene(f"stages.{i}.width", stage.width, i)
        yield Gene(f"stages.{i}.depth", stage.depth, i)
        for j in range(stage.depth[-1]):
            yield Gene(f"stages.{i}.kernel.{j}", stage.kernel, i, j)
        for j in range(stage.depth[-1]):
            yield Gene(f"stages.{i}.expansion.{j}", stage.expansion, i, j)
    for i, widths in enumerate(space.head):
        yield Gene(f"head.{i}", widths)
    for key in SWITCHES:
        for i, switch in enumerate(getattr(space, key)):
            if switch != ALWAYS_ON:
                yield Gene(f"{key}.{i}", switch)


def values_of(arch: Arch) -> dict[str, int]:
    """The value of every dimension of an architecture, those without a gene too."""
    values = {"resolution": arch.resolution, "stem": arch.stem}
    for i, stage in enumerate(arch.stages):
        values |= {f"stages.{i}.width": stage.width, f"stages.{i}.depth": stage.depth}
        values |= {f"stages.{i}.kernel.{j}": kernel for j, kernel in enumerate(stage.kernels)}
        values |= {f"stages.{i}.expansion.{j}": ratio for j, ratio in enumerate(stage.expansions)}
    values |= {f"head.{i}": width for i, width in enumerate(arch.head)}
    for key in SWITCHES:
        values |= {f"{key}.{i}": int(on) for i, on in enumerate(getattr(arch, key))}
    return values


def arch_of(values: Mapping[str, int]) -> Arch:
    """The architecture with these values; those of absent blocks are ignored, a switch without one is on."""
    return Arch(
        values["resolution"],
        values["stem"],
        tuple(_stage(values, f"stages.{i}") for i in range(NUM_STAGES)),
        tuple(values[f"head.{i}"] for i in range(NUM_HEADS)),
        **{key: _switches(values, key, range(count)) for key, count in SWITCHES.items()},
    )


def _stage(values: Mapping[str, int], name: str) -> Stage:
    blocks = range(values[f"{name}.depth"])
    return Stage(
        values[f"{name}.width"],
        tuple(values[f"{name}.kernel.{j}"] for j in blocks),
        tuple(values[f"{name}.expansion.{j}"] for j in blocks),
    )


def _switches(values: Mapping[str, int], key: str, places: Iterable[int]) -> tuple[bool, ...]:
    return tuple(bool(values.get(f"{key}.{i}", 1)) for i in places)


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
        **{key: _read_switches(value[key], key) for key in SWITCHES if key in value},
    }


def _read_switches(value: Any, what: str) -> tuple[tuple[int, ...], ...]:
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
