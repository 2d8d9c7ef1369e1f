"""One subnet's description: resolution, widths, depths, kernels, expansions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import official_form
from .checks import check_keys
from .checks import positive_int
from .checks import positive_ints
from .errors import InputError
from .files import read_json
from .files import read_yaml
from .files import write_yaml
from .names import conf_names
from .names import find_conf

SCHEMA = 1
NUM_STAGES = 4
NUM_HEADS = 3
RESOLUTION_STEP = 32


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

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.kernels)


@dataclass(frozen=True)
class Arch:
    """A subnet: immutable, hashable, and equal to whatever describes the same network.

    Attributes:
        resolution: side of the square input in pixels, a multiple of 32.
        stem: output channels of the stem.
        stages: the four backbone stages.
        head: output channels of the three deconvolution steps.
    """

    resolution: int
    stem: int
    stages: tuple[Stage, ...]
    head: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.resolution % RESOLUTION_STEP or self.resolution <= 0:
            raise InputError(f"resolution {self.resolution} is not a positive multiple of {RESOLUTION_STEP}")
        if len(self.stages) != NUM_STAGES:
            raise InputError(f"stages: expected {NUM_STAGES}, found {len(self.stages)}")
        if len(self.head) != NUM_HEADS:
            raise InputError(f"head: expected {NUM_HEADS} widths, found {len(self.head)}")
        for number, stage in enumerate(self.stages, start=1):
            if len(stage.kernels) != len(stage.expansions) or not stage.kernels:
                raise InputError(
                    f"stage {number}: kernels and expansions must have one entry per block, "
                    f"found {len(stage.kernels)} and {len(stage.expansions)}"
                )
            for kernel in stage.kernels:
                if kernel % 2 == 0:
                    raise InputError(f"stage {number}: kernel {kernel} is even; kernels are odd (3, 5, 7)")

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Arch:
        """Read an architecture.

        Args:
            source: a name in the zoo (`litepose-xs`), or a path to our `.yaml` form or to the official `.json` form.

        Raises:
            InputError: no such name or file, or the file does not describe a network.
        """
        path = find_conf("zoo", source)
        if path is None:
            raise InputError(
                f"architecture {os.fspath(source)!r} is neither a file nor a name in the zoo "
                f"({', '.join(conf_names('zoo'))})"
            )
        value = read_json(path, "architecture") if ".json" in Path(path).suffixes else read_yaml(path, "architecture")
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
        if official_form.is_official(value):
            value = official_form.to_plain(value)
        check_keys(value, required=("resolution", "stem", "stages", "head"), optional=("schema", "about"))
        if value.get("schema", SCHEMA) != SCHEMA:
            raise InputError(f"schema {value['schema']!r} is not known here (expected {SCHEMA}); update the toolkit")
        stages = value["stages"]
        if not isinstance(stages, list | tuple):
            raise InputError(f"stages: expected a list, found {type(stages).__name__}")
        return cls(
            resolution=positive_int(value["resolution"], "resolution"),
            stem=positive_int(value["stem"], "stem"),
            stages=tuple(_stage(stage, f"stage {number}") for number, stage in enumerate(stages, start=1)),
            head=positive_ints(value["head"], "head"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Our plain form: what `save` writes and `from_dict` reads."""
        return {
            "schema": SCHEMA,
            "resolution": self.resolution,
            "stem": self.stem,
            "stages": [
                {"width": stage.width, "kernels": list(stage.kernels), "expansions": list(stage.expansions)}
                for stage in self.stages
            ],
            "head": list(self.head),
        }

    def to_official(self) -> dict[str, Any]:
        """The JSON form of the released LitePose configurations."""
        return official_form.from_plain(self.to_dict())

    def save(self, path: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> None:
        """Write our YAML form to `path` atomically.

        Args:
            path: the file to write.
            about: facts to keep beside the network (source, costs, scores); readers ignore them.
        """
        value = self.to_dict()
        if about:
            value["about"] = dict(about)
        write_yaml(path, value)


def _stage(value: Any, what: str) -> Stage:
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: expected a mapping, found {type(value).__name__}")
    check_keys(value, required=("width", "kernels", "expansions"), what=what)
    return Stage(
        width=positive_int(value["width"], f"{what} width"),
        kernels=positive_ints(value["kernels"], f"{what} kernels"),
        expansions=positive_ints(value["expansions"], f"{what} expansions"),
    )
