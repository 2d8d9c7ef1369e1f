"""What a candidate costs: several tables over the codes of one space, under their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from supernet.cost import MacsTable, ParamsTable, count_macs, count_params
from supernet.space import Codes, SearchSpace

__all__ = ["MacsTable", "ParamsTable", "count_macs", "count_params"]


Floats = npt.NDArray[np.float64]
UNITS = {"macs": "MACs", "params": "parameters", "latency_ms": "ms"}


class CostTable(Protocol):
    """Predicts one cost of many architectures."""

    def predict(self, codes: Codes) -> npt.NDArray[Any]:
        """(N,) costs of (N, G) codes."""


class Costs:
    """The costs of a search, one column each, in the order of `names`.

    Args:
        space: the space of the codes.
        tables: `macs`, `params`, `latency_ms`, or any other name, with its table.
        convention: how `macs` was counted.
    """

    def __init__(
        self, space: SearchSpace, tables: Mapping[str, CostTable], convention: str = "exact"
    ) -> None:
        self.space = space
        self.tables = dict(tables)
        self.convention = convention

    @classmethod
    def standard(
        cls,
        space: SearchSpace,
        num_joints: int,
        convention: str = "exact",
        extra: Mapping[str, CostTable] | None = None,
    ) -> Costs:
        """MACs and parameters, and what `extra` adds (a latency table)."""
        tables: dict[str, CostTable] = {
            "macs": MacsTable(space, num_joints, convention),
            "params": ParamsTable(space, num_joints),
        }
        return cls(space, {**tables, **(extra or {})}, convention)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.tables)

    def column(self, name: str) -> int:
        """The column of one cost."""
        return self.names.index(name)

    def predict(self, codes: Codes) -> Floats:
        """(N, C) costs of (N, G) codes."""
        columns = [np.asarray(table.predict(codes), dtype=np.float64) for table in self.tables.values()]
        return np.stack(columns, axis=1)

    def of_smallest(self) -> Floats:
        """(C,) costs of the smallest subnet."""
        costs: Floats = self.predict(self.space.encode([self.space.smallest()]))[0]
        return costs

    def of_largest(self) -> Floats:
        """(C,) costs of the largest subnet."""
        costs: Floats = self.predict(self.space.encode([self.space.largest()]))[0]
        return costs


def shown_cost(name: str, value: float) -> str:
    """A cost for people: `0.883 G MACs`, `1.68 M parameters`, `12.3 ms`."""
    unit = UNITS.get(name, name)
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if name != "latency_ms" and value >= limit:
            return f"{value / limit:.4g} {letter} {unit}"
    return f"{value:.4g} {unit}"
