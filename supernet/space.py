"""The search space: the choices of every dimension, and architectures as rows of integer codes."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from .arch import SWITCHES, Arch
from .errors import InputError
from .genes import ALWAYS_ON, SCHEMA, Gene, StageChoices, arch_of, genes_of, read_choices, values_of
from .names import require_conf
from .runs.files import read_yaml, write_yaml

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SearchSpace:
    """The architectures that one supernet holds.

    Codes are rows of G gene indices: resolution, stem, then per stage width, depth, the kernels and the
    expansions of the deepest stage's blocks, then the three head widths, then the head's switches that are
    not always on. Genes of blocks beyond a row's depth are 0, so that equal architectures have equal codes.
    """

    name: str
    resolution: tuple[int, ...]
    stem: tuple[int, ...]
    stages: tuple[StageChoices, ...]
    head: tuple[tuple[int, ...], ...]
    fusion: tuple[tuple[int, ...], ...] = (ALWAYS_ON,) * SWITCHES["fusion"]
    raw_outputs: tuple[tuple[int, ...], ...] = (ALWAYS_ON,) * SWITCHES["raw_outputs"]

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> SearchSpace:
        """Read a space by its name in `conf/spaces` or from a YAML file.

        Raises:
            InputError: no such name or file, or a choice is missing, doubled or of the wrong type.
        """
        path = require_conf("spaces", source, "space")
        value = read_yaml(path, "space")
        try:
            return cls.from_dict(value, default_name=path.stem)
        except InputError as error:
            raise InputError(f"space {path}: {error}") from None

    @classmethod
    def from_dict(cls, value: Any, default_name: str = "custom") -> SearchSpace:
        """Build a space from its plain form; see `conf/spaces/litepose.yaml`.

        Raises:
            InputError: a choice is missing, doubled or of the wrong type.
        """
        space = cls(**read_choices(value, default_name))
        # Checks the limits of an architecture.
        space.largest()
        return space

    def to_dict(self) -> dict[str, Any]:
        """The plain form that `from_dict` reads."""
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
                key: [[bool(choice) for choice in switch] for switch in switches]
                for key, switches in self._switches.items()
                if set(switches) != {ALWAYS_ON}
            },
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the YAML form to `path` atomically."""
        write_yaml(path, self.to_dict())

    @cached_property
    def genes(self) -> tuple[Gene, ...]:
        """The dimensions, in the order of the codes."""
        return tuple(genes_of(self))

    @property
    def _switches(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        return {key: getattr(self, key) for key in SWITCHES}

    @cached_property
    def gene_index(self) -> dict[str, int]:
        """Column of each gene's name."""
        return {gene.name: index for index, gene in enumerate(self.genes)}

    @cached_property
    def num_choices(self) -> Codes:
        """(G,) number of choices of each gene."""
        return np.array([len(gene.choices) for gene in self.genes], dtype=np.int64)

    def size(self) -> int:
        """Exact number of different architectures."""
        total = len(self.resolution) * len(self.stem) * math.prod(len(widths) for widths in self.head)
        total *= math.prod(len(switch) for switches in self._switches.values() for switch in switches)
        for stage in self.stages:
            per_block = len(stage.kernel) * len(stage.expansion)
            total *= len(stage.width) * sum(per_block**depth for depth in stage.depth)
        return total

    def largest(self) -> Arch:
        """The architecture with the largest choice everywhere."""
        return self.decode(self.canonical(self.num_choices[None] - 1))[0]

    def smallest(self) -> Arch:
        """The architecture with the smallest choice everywhere."""
        return self.decode(np.zeros((1, len(self.genes)), dtype=np.int64))[0]

    def middle(self) -> Arch:
        """The architecture with the middle choice everywhere (the lower of two)."""
        return self.decode(self.canonical((self.num_choices[None] - 1) // 2))[0]

    def contains(self, arch: Arch) -> bool:
        """Whether `arch` is one of this space's architectures."""
        return self.mismatch(arch) is None

    def mismatch(self, arch: Arch) -> str | None:
        """The first value of `arch` that is not a choice here, in words; None if it is contained."""
        pairs = [("resolution", arch.resolution, self.resolution), ("stem", arch.stem, self.stem)]
        for i, (stage, choices) in enumerate(zip(arch.stages, self.stages, strict=True), start=1):
            pairs += [(f"stage {i} width", stage.width, choices.width)]
            pairs += [(f"stage {i} depth", stage.depth, choices.depth)]
            pairs += [(f"stage {i} kernel", kernel, choices.kernel) for kernel in stage.kernels]
            pairs += [(f"stage {i} expansion", ratio, choices.expansion) for ratio in stage.expansions]
        heads = zip(arch.head, self.head, strict=True)
        pairs += [(f"head {i}", width, choices) for i, (width, choices) in enumerate(heads, start=1)]
        for key, switches in self._switches.items():
            found = zip(getattr(arch, key), switches, strict=True)
            pairs += [(f"{key} {i}", on, tuple(map(bool, s))) for i, (on, s) in enumerate(found, start=1)]
        for what, value, allowed in pairs:
            if value not in allowed:
                return f"{what} {value} is not one of {list(allowed)}"
        return None

    def require(self, arch: Arch) -> None:
        """Raise InputError, naming the value that is no choice here, unless `arch` is contained."""
        reason = self.mismatch(arch)
        if reason is not None:
            raise InputError(f"architecture is not in space {self.name!r}: {reason}")

    def sample(self, rng: np.random.Generator) -> Arch:
        """One architecture, every choice uniform."""
        return self.decode(self.sample_codes(rng, 1))[0]

    def sample_codes(self, rng: np.random.Generator, n: int) -> Codes:
        """(n, G) codes, every choice uniform."""
        return self.canonical(rng.integers(0, self.num_choices, size=(n, len(self.genes))))

    @cached_property
    def _block_genes(self) -> list[tuple[int, int, int]]:
        """Per stage: column of the depth gene, first column after it, one past the stage's last column."""
        spans = []
        for i, stage in enumerate(self.stages):
            depth = self.gene_index[f"stages.{i}.depth"]
            spans.append((depth, depth + 1, depth + 1 + 2 * stage.depth[-1]))
        return spans

    def active(self, codes: Codes) -> npt.NDArray[np.bool_]:
        """(N, G) whether each gene has an effect: False for genes of blocks beyond the depth."""
        mask = np.ones(codes.shape, dtype=bool)
        for (depth, start, stop), alive in zip(self._block_genes, self._alive, strict=True):
            mask[:, start:stop] = alive[codes[:, depth]]
        return mask

    @cached_property
    def _alive(self) -> list[npt.NDArray[np.bool_]]:
        """Per stage, (depth choice, kernel and expansion genes) whether the gene's block exists."""
        blocks = [np.arange(stage.depth[-1]) < np.array(stage.depth)[:, None] for stage in self.stages]
        return [np.tile(alive, (1, 2)) for alive in blocks]

    def canonical(self, codes: Codes) -> Codes:
        """`codes` with the genes of absent blocks set to 0."""
        return np.where(self.active(codes), codes, 0)

    def encode(self, archs: Sequence[Arch]) -> Codes:
        """(N, G) codes of `archs`.

        Raises:
            InputError: an architecture is not in the space.
        """
        codes = np.zeros((len(archs), len(self.genes)), dtype=np.int64)
        for row, arch in zip(codes, archs, strict=True):
            self.require(arch)
            for name, value in values_of(arch).items():
                column = self.gene_index.get(name)
                if column is not None:
                    row[column] = self.genes[column].choices.index(value)
        return codes

    def decode(self, codes: Codes) -> list[Arch]:
        """The architectures of (N, G) codes.

        Raises:
            InputError: wrong number of columns, or a code outside its gene's choices.
        """
        self.check_codes(codes)
        names = [gene.name for gene in self.genes]
        choices = [gene.choices for gene in self.genes]
        return [
            arch_of({name: allowed[code] for name, allowed, code in zip(names, choices, row, strict=True)})
            for row in codes.tolist()
        ]

    def check_codes(self, codes: Codes) -> None:
        """Raise InputError unless `codes` is (N, G), integer, and every code one of its gene's choices."""
        genes = len(self.genes)
        if not isinstance(codes, np.ndarray):
            raise InputError(
                f"codes of space {self.name!r} are an integer array, found {type(codes).__name__}"
            )
        if codes.ndim != 2 or codes.shape[1] != genes or not np.issubdtype(codes.dtype, np.integer):
            raise InputError(
                f"codes of space {self.name!r} are integers of shape (N, {genes}), "
                f"found {codes.dtype} {codes.shape}"
            )
        if len(codes) and (codes.min() < 0 or (codes.max(axis=0) >= self.num_choices).any()):
            raise InputError(f"codes are outside the choices of space {self.name!r}")
