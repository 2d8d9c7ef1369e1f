"""Architectures as numbers that accuracy models learn from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from supernet.space import Codes
from supernet.space import SearchSpace

from .costs import Costs

Floats = npt.NDArray[np.float64]


class Features:
    """(N, F) features of codes: sizes per gene, sums per stage, and the logarithms of the costs.

    Every feature of size runs from 0 (smallest choice) to 1 (largest), logarithmic in the choice where
    that spans a factor of two or more per step, so that distances mean the same along all of them. Genes
    of absent blocks are 0.
    """

    def __init__(self, space: SearchSpace, costs: Costs) -> None:
        self._space = space
        self._costs = costs
        self._free = np.flatnonzero(space.num_choices > 1)
        self._scales = [_unit_scale(space.genes[column].choices) for column in self._free]
        self._stages = [
            [i for i, gene in enumerate(space.genes) if gene.stage == stage and gene.block is not None]
            for stage in range(len(space.stages))
        ]
        self._span = _log_span(costs)

    def __call__(self, codes: Codes) -> Floats:
        """(N, F) features of (N, G) codes."""
        active = self._space.active(codes)
        columns = [
            np.where(active[:, column], scale[codes[:, column]], 0.0)
            for column, scale in zip(self._free, self._scales, strict=True)
        ]
        values = {int(column): value for column, value in zip(self._free, columns, strict=True)}
        for genes in self._stages:
            chosen = [values[gene] for gene in genes if gene in values]
            if chosen:
                columns.append(np.sum(chosen, axis=0) / len(chosen))
        low, width = self._span
        logs = (np.log(np.maximum(self._costs.predict(codes), 1e-12)) - low) / width
        return np.column_stack([*columns, logs])


def _unit_scale(choices: tuple[int, ...]) -> Floats:
    sizes = np.array(choices, dtype=np.float64)
    # A switch has no size: its choices are 0 and 1.
    values = np.log(sizes) if sizes[0] else sizes
    scale: Floats = (values - values[0]) / (values[-1] - values[0])
    return scale


def _log_span(costs: Costs) -> tuple[Floats, Floats]:
    low, high = np.log(np.maximum(costs.of_smallest(), 1e-12)), np.log(np.maximum(costs.of_largest(), 1e-12))
    return low, np.where(high > low, high - low, 1.0)
