"""A cost that is a sum over a network's parts, tabulated once and gathered for many architectures."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .checks import positive_int
from .space import Codes
from .space import SearchSpace
from .topology import Layer
from .topology import block_layers
from .topology import head_layers
from .topology import output_layers
from .topology import stem_layers

# Rows at a time, so that a chunk's codes stay in the processor's cache.
_CHUNK = 2048

PartCost = Callable[[int, Iterable[Layer]], float]


@dataclass(frozen=True)
class _Term:
    """Cost of one part: `values` is flat over the choices of `columns`, mixed-radix with `radix`."""

    columns: tuple[int, ...]
    radix: tuple[int, ...]
    values: npt.NDArray[Any]

    def gather(self, codes_gn: Codes) -> npt.NDArray[Any]:
        """(N,) costs of this part for (G, N) codes."""
        index = codes_gn[self.columns[0]]
        for column, size in zip(self.columns[1:], self.radix[1:], strict=True):
            if size > 1:
                index = index * size + codes_gn[column]
        costs: npt.NDArray[Any] = self.values[index]
        return costs


class AdditiveTable:
    """Sums a part-wise cost over architectures given as codes.

    Parts are the stem, every block, every head step with its output of the refined path, and the outputs of
    the raw maps; `cost(resolution, layers of the part)` is evaluated once for each combination of the genes
    that shape it.
    """

    def __init__(self, space: SearchSpace, num_joints: int, cost: PartCost, dtype: Any = np.float64) -> None:
        positive_int(num_joints, "num_joints")
        self._space = space
        self._cost = cost
        self._dtype = dtype
        stem = self._term(("resolution", "stem"), stem_layers)
        heads = [self._head(step, num_joints) for step in range(len(space.head))]
        raws = [self._raw_output(step, num_joints) for step in range(1, len(space.head))]
        firsts = [self._block(stage, 0) for stage in range(len(space.stages))]
        self._fixed = [stem, *firsts, *heads, *raws]
        self._later = [
            [self._block(stage, block) for block in range(1, choices.depth[-1])]
            for stage, choices in enumerate(space.stages)
        ]
        # An absent block has code 0 in kernel and expansion; its cost is taken off again.
        self._absent = [self._absent_blocks(stage) for stage in range(len(space.stages))]

    def _term(self, names: tuple[str, ...], part: Callable[..., Iterable[Layer]]) -> _Term:
        columns = tuple(self._space.gene_index[name] for name in names)
        choices = [self._space.genes[column].choices for column in columns]
        combinations = itertools.product(*choices)
        values = [self._cost(resolution, tuple(part(*sizes))) for resolution, *sizes in combinations]
        return _Term(columns, tuple(len(c) for c in choices), np.array(values, dtype=self._dtype))

    def _block(self, stage: int, block: int) -> _Term:
        own = (f"stages.{stage}.width", f"stages.{stage}.expansion.{block}", f"stages.{stage}.kernel.{block}")
        if block:
            return self._term(("resolution", *own), lambda w, e, k: block_layers(stage, block, w, w, e, k))
        before = f"stages.{stage - 1}.width" if stage else "stem"
        return self._term(("resolution", before, *own), lambda v, w, e, k: block_layers(stage, 0, v, w, e, k))

    def _head(self, step: int, num_joints: int) -> _Term:
        refined = f"head.{step - 1}" if step else "stages.3.width"
        return self._term(
            ("resolution", refined, f"stages.{2 - step}.width", f"head.{step}"),
            lambda refined, raw, width: head_layers(step, refined, raw, width, num_joints),
        )

    def _raw_output(self, step: int, num_joints: int) -> _Term:
        source = "stem" if step == 2 else "stages.0.width"
        return self._term(
            ("resolution", source), lambda channels: output_layers(step, "raw", channels, num_joints)
        )

    def _absent_blocks(self, stage: int) -> _Term:
        names = ("resolution", f"stages.{stage}.width", f"stages.{stage}.depth")
        choices = self._space.stages[stage]
        kernel, expansion, deepest = choices.kernel[0], choices.expansion[0], choices.depth[-1]

        def absent(width: int, depth: int) -> list[Layer]:
            blocks = [block_layers(stage, j, width, width, expansion, kernel) for j in range(depth, deepest)]
            return [layer for block in blocks for layer in block]

        return self._term(names, absent)

    def predict(self, codes: Codes) -> npt.NDArray[Any]:
        """(N,) sums for (N, G) codes (any codes of absent blocks are read as 0).

        Raises:
            InputError: the codes are not of this space.
        """
        self._space.check_codes(codes)
        totals = np.empty(len(codes), dtype=self._dtype)
        for start in range(0, len(codes), _CHUNK):
            totals[start : start + _CHUNK] = self._predict_chunk(codes[start : start + _CHUNK])
        return totals

    def _predict_chunk(self, codes: Codes) -> npt.NDArray[Any]:
        codes_gn = np.ascontiguousarray(self._space.canonical(codes).T)
        total = np.zeros(codes_gn.shape[1], dtype=self._dtype)
        for term in self._fixed:
            total += term.gather(codes_gn)
        for blocks, absent in zip(self._later, self._absent, strict=True):
            for block in blocks:
                total += block.gather(codes_gn)
            total -= absent.gather(codes_gn)
        return total
