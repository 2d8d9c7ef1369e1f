"""The dimensions of a search space by name, and architectures as values of them."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .arch import NUM_HEADS
from .arch import NUM_STAGES
from .arch import SWITCHES
from .arch import Arch
from .arch import Stage

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
