"""The description of one LitePose network: our form, and that of the released configurations."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InputError, booleans, check_keys, check_schema, positive_int, positive_ints, shown
from ..family import LARGEST_SIDE, SCHEMA, Architecture, Refinement, read_source
from ..layers.description import read_refinement
from ..runs.files import is_json, write_json

NAME = "litepose"
STRIDES = (2, 2, 2, 1)
NUM_STAGES = len(STRIDES)
NUM_HEADS = 3
NUM_OUTPUTS = 2
RESOLUTION_STEP = 32
# Far above any network of this family; they keep a slip in a file from asking for terabytes.
MAX_WIDTH = 2048
MAX_DEPTH = 64
MAX_KERNEL = 31
MAX_EXPANSION = 16
# Parts of the head that a network may do without, and how many there are of each.
SWITCHES = {"fusion": NUM_HEADS, "raw_outputs": NUM_OUTPUTS}
DEFAULT_HEAD = "embedding"


def is_official(value: Mapping[Any, Any]) -> bool:
    """Whether `value` is of the official form."""
    return "backbone_setting" in value


def to_plain(value: Mapping[Any, Any]) -> dict[str, Any]:
    """The official form `value` as our plain form; sizes are checked by whoever reads that.

    Raises:
        InputError: the structure is not that of a LitePose configuration.
    """
    check_keys(value, required=("img_size", "input_channel", "deconv_setting", "backbone_setting"))
    stages = value["backbone_setting"]
    if not isinstance(stages, list):
        raise InputError(f"backbone_setting: expected a list, found {type(stages).__name__}")
    if len(stages) != len(STRIDES):
        raise InputError(f"backbone_setting: expected {len(STRIDES)} stages, found {len(stages)}")
    return {
        "resolution": value["img_size"],
        "stem": value["input_channel"],
        "stages": [_official_stage(stage, number) for number, stage in enumerate(stages, start=1)],
        "head": value["deconv_setting"],
    }


def _official_stage(stage: Any, number: int) -> dict[str, Any]:
    what = f"backbone_setting stage {number}"
    if not isinstance(stage, Mapping):
        raise InputError(f"{what}: expected a mapping, found {type(stage).__name__}")
    check_keys(stage, required=("num_blocks", "stride", "channel", "block_setting"), what=what)
    stride = STRIDES[number - 1]
    if stage["stride"] != stride or isinstance(stage["stride"], bool):
        raise InputError(f"{what}: stride {shown(stage['stride'])}, but this family has {stride} there")
    blocks = stage["block_setting"]
    if not isinstance(blocks, list) or not blocks:
        raise InputError(f"{what}: block_setting must be a list of [expansion, kernel]")
    if stage["num_blocks"] != len(blocks):
        count = shown(stage["num_blocks"])
        raise InputError(f"{what}: num_blocks is {count}, block_setting has {len(blocks)}")
    pairs = [positive_ints(block, f"{what} block {index}") for index, block in enumerate(blocks, start=1)]
    for index, pair in enumerate(pairs, start=1):
        if len(pair) != 2:
            raise InputError(f"{what} block {index}: expected [expansion, kernel], found {len(pair)} numbers")
    return {
        "width": stage["channel"],
        "kernels": [kernel for _, kernel in pairs],
        "expansions": [expansion for expansion, _ in pairs],
    }


def from_plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Our plain form `value` in the official form.

    Raises:
        InputError: that form has no place for something.
    """
    for key in value:
        if key not in ("schema", "resolution", "stem", "stages", "head"):
            raise InputError(f"the official form has no place for {key}; keep this network as .yaml")
    return {
        "img_size": value["resolution"],
        "input_channel": value["stem"],
        "deconv_setting": list(value["head"]),
        "backbone_setting": [
            {
                "num_blocks": len(stage["kernels"]),
                "stride": stride,
                "channel": stage["width"],
                "block_setting": [[e, k] for e, k in zip(stage["expansions"], stage["kernels"], strict=True)],
            }
            for stage, stride in zip(value["stages"], STRIDES, strict=True)
        ],
    }


@dataclass(frozen=True)
class Stage:
    """One backbone stage: `depth` inverted bottlenecks of one output width.

    Attributes:
        width: output channels of every block.
        kernels: odd depthwise kernel size of each block.
        expansions: ratio of hidden to input channels of each block.
    """

    width: int
    kernels: tuple[int, ...]
    expansions: tuple[int, ...]

    def __post_init__(self) -> None:
        # Lists would make the architecture unhashable.
        object.__setattr__(self, "kernels", tuple(self.kernels))
        object.__setattr__(self, "expansions", tuple(self.expansions))

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.kernels)


@dataclass(frozen=True)
class Arch(Architecture):
    """A subnet: immutable, hashable, and equal to whatever describes the same network.

    Attributes:
        resolution: side of the square input in pixels, a multiple of 32.
        stem: output channels of the stem.
        stages: the four backbone stages.
        head: output channels of the three deconvolution steps.
        fusion: per deconvolution step, whether the backbone's map of that scale is deconvolved and added.
        raw_outputs: per output (1/4, 1/2), whether the backbone's map of that scale adds to it.
        head_kind: what it gives; any head whose outputs are at 1/8, 1/4 or 1/2.
        refinement: of the last stage's map, before it is enlarged; None for none.
    """

    family = NAME

    resolution: int
    stem: int
    stages: tuple[Stage, ...]
    head: tuple[int, ...]
    fusion: tuple[bool, ...] = (True,) * NUM_HEADS
    raw_outputs: tuple[bool, ...] = (True,) * NUM_OUTPUTS
    head_kind: str = DEFAULT_HEAD
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "head", tuple(self.head))
        for key, count in SWITCHES.items():
            object.__setattr__(self, key, tuple(map(bool, getattr(self, key))))
            if len(getattr(self, key)) != count:
                raise InputError(f"{key}: expected {count} switches, found {len(getattr(self, key))}")
        if self.resolution % RESOLUTION_STEP or self.resolution <= 0:
            raise InputError(f"resolution {self.resolution} is not a positive multiple of {RESOLUTION_STEP}")
        if len(self.stages) != NUM_STAGES:
            raise InputError(f"stages: expected {NUM_STAGES}, found {len(self.stages)}")
        if len(self.head) != NUM_HEADS:
            raise InputError(f"head: expected {NUM_HEADS} widths, found {len(self.head)}")
        check_limit("resolution", self.resolution, LARGEST_SIDE)
        check_limit("stem", self.stem, MAX_WIDTH)
        for number, stage in enumerate(self.stages, start=1):
            _check_stage(stage, f"stage {number}")
        for number, width in enumerate(self.head, start=1):
            check_limit(f"head {number}", width, MAX_WIDTH)
        if self.refinement is not None:
            self.refinement.check(self.stages[-1].width)

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Arch:
        """Read an architecture.

        Args:
            source: a name in the zoo (`litepose-xs`), or a path to our `.yaml`, to a folder that
                holds `arch.yaml` (an exported network), or to the official `.json` form.

        Raises:
            InputError: no such name or file, or the file does not describe a network.
        """
        path, value = read_source(source, ("zoo",))
        try:
            return cls.from_dict(value)
        except InputError as error:
            raise InputError(f"architecture {path}: {error}") from None

    @classmethod
    def from_dict(cls, value: Any) -> Arch:
        """Build an architecture from our form or from the official one (`backbone_setting`).

        Raises:
            InputError: a key is missing, unknown or of the wrong type or length.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"expected a mapping, found {type(value).__name__}")
        if is_official(value):
            value = to_plain(value)
        optional = ("schema", "family", "about", "head_kind", "refinement", *SWITCHES)
        check_keys(value, required=("resolution", "stem", "stages", "head"), optional=optional)
        check_schema(value, SCHEMA)
        stages, head_kind = value["stages"], value.get("head_kind", DEFAULT_HEAD)
        if not isinstance(stages, list | tuple):
            raise InputError(f"stages: expected a list, found {type(stages).__name__}")
        if not isinstance(head_kind, str):
            raise InputError(f"head_kind: expected a name, found {shown(head_kind)}")
        return cls(
            resolution=positive_int(value["resolution"], "resolution"),
            stem=positive_int(value["stem"], "stem"),
            stages=tuple(_stage(stage, f"stage {number}") for number, stage in enumerate(stages, start=1)),
            head=positive_ints(value["head"], "head"),
            head_kind=head_kind,
            refinement=read_refinement(value.get("refinement")),
            **{key: booleans(value[key], key) for key in SWITCHES if key in value},
        )

    def to_dict(self) -> dict[str, Any]:
        """Our plain form: what `save` writes and `from_dict` reads; switches that are all on are left out."""
        return {
            "schema": SCHEMA,
            "resolution": self.resolution,
            "stem": self.stem,
            "stages": [
                {"width": stage.width, "kernels": list(stage.kernels), "expansions": list(stage.expansions)}
                for stage in self.stages
            ],
            "head": list(self.head),
            **{key: list(getattr(self, key)) for key in SWITCHES if not all(getattr(self, key))},
            **({"head_kind": self.head_kind} if self.head_kind != DEFAULT_HEAD else {}),
            **({"refinement": self.refinement.to_dict()} if self.refinement is not None else {}),
        }

    def to_official(self) -> dict[str, Any]:
        """The JSON form of the released LitePose configurations.

        Raises:
            InputError: a part of the head is switched off, for which that form has no place.
        """
        return from_plain(self.to_dict())

    def save(self, path: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> None:
        """Write our YAML form to `path` atomically, or the official JSON form if `path` ends in `.json`.

        Args:
            path: the file to write.
            about: values to keep beside the network (source, costs, scores), which `read_about` gives back;
                the official form has no place for them.
        """
        if not is_json(path) or str(path).endswith(".gz"):
            super().save(path, about)
        elif about:
            raise InputError(f"the official JSON form keeps no notes; write {path} as .yaml to keep them")
        else:
            write_json(path, self.to_official())


def _check_stage(stage: Stage, what: str) -> None:
    if len(stage.kernels) != len(stage.expansions) or not stage.kernels:
        raise InputError(
            f"{what}: kernels and expansions must have one entry per block, "
            f"found {len(stage.kernels)} and {len(stage.expansions)}"
        )
    check_limit(f"{what} depth", stage.depth, MAX_DEPTH)
    check_limit(f"{what} width", stage.width, MAX_WIDTH)
    for kernel in stage.kernels:
        check_limit(f"{what} kernel", kernel, MAX_KERNEL)
        if kernel % 2 == 0:
            raise InputError(f"{what}: kernel {kernel} is even; kernels are odd (3, 5, 7)")
    for expansion in stage.expansions:
        check_limit(f"{what} expansion", expansion, MAX_EXPANSION)


def check_limit(what: str, value: int, limit: int) -> None:
    """Raise InputError unless `value` is in 1..`limit`."""
    if not 1 <= value <= limit:
        raise InputError(f"{what}: {value} is not between 1 and {limit}")


def _stage(value: Any, what: str) -> Stage:
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: expected a mapping, found {type(value).__name__}")
    check_keys(value, required=("width", "kernels", "expansions"), what=what)
    return Stage(
        width=positive_int(value["width"], f"{what} width"),
        kernels=positive_ints(value["kernels"], f"{what} kernels"),
        expansions=positive_ints(value["expansions"], f"{what} expansions"),
    )
