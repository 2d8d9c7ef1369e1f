"""LitePose's search space: the choices of its dimensions, read, checked and written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, booleans, check_keys, check_schema, choices_of, shown
from ..family import Refinement
from ..heads.contract import HEAD_GENE, plain_heads, read_heads
from ..layers.description import read_refinement
from ..space import SCHEMA, Gene, SearchSpace
from .arch import (
    DEFAULT_HEAD,
    MAX_DEPTH,
    NAME,
    NUM_HEADS,
    NUM_STAGES,
    RESOLUTION_STEP,
    SWITCHES,
    Arch,
    Stage,
    check_limit,
)

# A switch whose only choice this is has no gene, so that codes are as they were before there were switches.
ALWAYS_ON = (1,)


@dataclass(frozen=True)
class StageChoices:
    """Choices of one stage, each ascending: output width, depth, and kernel and expansion of every block."""

    width: tuple[int, ...]
    depth: tuple[int, ...]
    kernel: tuple[int, ...]
    expansion: tuple[int, ...]


@dataclass(frozen=True)
class LitePoseSpace(SearchSpace):
    """LitePose networks of one supernet.

    Genes: resolution, stem, then per stage width, depth, the kernels and the expansions of the deepest
    stage's blocks, then the three head widths, the head's switches that are not always on, and which head.
    """

    name: str
    resolution: tuple[int, ...]
    stem: tuple[int, ...]
    stages: tuple[StageChoices, ...]
    head: tuple[tuple[int, ...], ...]
    fusion: tuple[tuple[int, ...], ...] = (ALWAYS_ON,) * SWITCHES["fusion"]
    raw_outputs: tuple[tuple[int, ...], ...] = (ALWAYS_ON,) * SWITCHES["raw_outputs"]
    head_kinds: tuple[str, ...] = (DEFAULT_HEAD,)
    refinement: Refinement | None = None

    family = NAME

    @classmethod
    def read(cls, value: Mapping[str, Any], default_name: str) -> LitePoseSpace:
        """Build a space from its plain form; see `conf/spaces/litepose.yaml`.

        Raises:
            InputError: a choice is missing, doubled, of the wrong type, or not of a size that a network can
                have.
        """
        optional = ("schema", "family", "name", "head_kind", "refinement", *SWITCHES)
        check_keys(value, required=("resolution", "stem", "stages", "head"), optional=optional)
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
        space = cls(
            name=name,
            head_kinds=read_heads(value.get("head_kind", DEFAULT_HEAD)),
            refinement=read_refinement(value.get("refinement")),
            resolution=choices_of(value["resolution"], "resolution", multiple_of=RESOLUTION_STEP),
            stem=choices_of(value["stem"], "stem"),
            stages=tuple(_stage_choices(stage, f"stage {i}") for i, stage in enumerate(stages, start=1)),
            head=tuple(choices_of(widths, f"head {i}") for i, widths in enumerate(head, start=1)),
            **{key: _read_switches(value[key], key) for key in SWITCHES if key in value},
        )
        # Checks the limits of an architecture.
        space.largest()
        if space.refinement is not None:
            for width in space.stages[-1].width:
                space.refinement.check(width)
        return space

    def to_dict(self) -> dict[str, Any]:
        switches = {key: getattr(self, key) for key in SWITCHES}
        return {
            "schema": SCHEMA,
            "name": self.name,
            "resolution": list(self.resolution),
            "stem": list(self.stem),
            "stages": [
                {key: list(getattr(stage, key)) for key in ("width", "depth", "kernel", "expansion")}
                for stage in self.stages
            ],
            "head": [list(widths) for widths in self.head],
            **{
                key: [[bool(choice) for choice in switch] for switch in found]
                for key, found in switches.items()
                if set(found) != {ALWAYS_ON}
            },
            **({"head_kind": plain_heads(self.head_kinds)} if self.head_kinds != (DEFAULT_HEAD,) else {}),
            **({"refinement": self.refinement.to_dict()} if self.refinement is not None else {}),
        }

    def _dimensions(self) -> Iterator[Gene]:
        yield Gene("resolution", self.resolution, "resolution")
        yield Gene("stem", self.stem, "width", label="stem")
        for i, stage in enumerate(self.stages):
            name, where, depth = f"stages.{i}", f"stage {i + 1}", f"stages.{i}.depth"
            yield Gene(f"{name}.width", stage.width, "width", where, i)
            yield Gene(depth, stage.depth, "depth", where, i)
            for kind in ("kernel", "expansion"):
                choices = getattr(stage, kind)
                for j in range(stage.depth[-1]):
                    yield Gene(f"{name}.{kind}.{j}", choices, kind, where, i, j, depth)
        for i, widths in enumerate(self.head):
            yield Gene(f"head.{i}", widths, "width", label=f"head {i + 1}")
        for key in SWITCHES:
            for i, switch in enumerate(getattr(self, key)):
                implied = switch == ALWAYS_ON
                yield Gene(f"{key}.{i}", switch, "switch", label=f"{key} {i + 1}", implied=implied)
        yield self.head_gene

    def values_of(self, arch: Any) -> dict[str, int]:
        values = {"resolution": arch.resolution, "stem": arch.stem}
        for i, stage in enumerate(arch.stages):
            values |= {f"stages.{i}.width": stage.width, f"stages.{i}.depth": stage.depth}
            values |= {f"stages.{i}.kernel.{j}": kernel for j, kernel in enumerate(stage.kernels)}
            values |= {f"stages.{i}.expansion.{j}": ratio for j, ratio in enumerate(stage.expansions)}
        values |= {f"head.{i}": width for i, width in enumerate(arch.head)}
        for key in SWITCHES:
            values |= {f"{key}.{i}": int(on) for i, on in enumerate(getattr(arch, key))}
        return values | {HEAD_GENE: self.head_kinds.index(arch.head_kind)}

    def arch_of(self, values: Mapping[str, int]) -> Arch:
        return Arch(
            values["resolution"],
            values["stem"],
            tuple(_stage(values, f"stages.{i}") for i in range(NUM_STAGES)),
            tuple(values[f"head.{i}"] for i in range(NUM_HEADS)),
            head_kind=self.head_kinds[values[HEAD_GENE]],
            refinement=self.refinement,
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
    return tuple(bool(values[f"{key}.{i}"]) for i in places)


def _read_switches(value: Any, what: str) -> tuple[tuple[int, ...], ...]:
    found = tuple(booleans(choices, f"{what} {i}") for i, choices in enumerate(value, start=1))
    for i, choices in enumerate(found, start=1):
        if len(set(choices)) != len(choices):
            raise InputError(f"{what} {i}: a choice is listed twice in {list(choices)}")
    return tuple(tuple(sorted(map(int, choices))) for choices in found)


def _stage_choices(value: Any, what: str) -> StageChoices:
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: expected a mapping, found {type(value).__name__}")
    check_keys(value, required=("width", "depth", "kernel", "expansion"), what=what)
    kernel = choices_of(value["kernel"], f"{what} kernel")
    for choice in kernel:
        if choice % 2 == 0:
            raise InputError(f"{what} kernel: {choice} is even; kernels are odd (3, 5, 7)")
    depth = choices_of(value["depth"], f"{what} depth")
    check_limit(f"{what} depth", depth[-1], MAX_DEPTH)  # before a gene is made for every block
    return StageChoices(
        width=choices_of(value["width"], f"{what} width"),
        depth=depth,
        kernel=kernel,
        expansion=choices_of(value["expansion"], f"{what} expansion"),
    )
