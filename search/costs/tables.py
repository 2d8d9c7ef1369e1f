"""What the candidates of a search cost: one table per cost, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from supernet.cost import MacsTable, ParamsTable, count_macs, count_params
from supernet.sampling import CostTable
from supernet.space import Codes, SearchSpace

from .contract import COSTS, CostSettings, Floats

__all__ = ["Costs", "Floats", "MacsTable", "ParamsTable", "count_macs", "count_params"]
# Of every candidate, whatever is budgeted.
ALWAYS = ("macs", "params")


class Costs:
    """The costs of a search, one column each, in the order of `names`.

    Args:
        space: the space of the codes.
        tables: by the name of their cost.
        settings: what they were made with.
    """

    def __init__(self, space: SearchSpace, tables: Mapping[str, CostTable], settings: CostSettings) -> None:
        self.space = space
        self.tables = dict(tables)
        self.settings = settings
        # Strategies ask again and again.
        self._ends: Floats = self.predict(space.encode([space.smallest(), space.largest()]))

    @classmethod
    def of(cls, space: SearchSpace, settings: CostSettings, wanted: Iterable[str] = ()) -> Costs:
        """MACs, parameters, latency if there is a table of it, and the costs `wanted` that can be told here.

        Raises:
            InputError: what `settings` name is missing, damaged or of another space.
        """
        latency = ("latency_ms",) if settings.latency is not None else ()
        tables = {}
        for name in dict.fromkeys((*ALWAYS, *latency, *wanted)):
            table = COSTS.get(name).table(space, settings) if name in COSTS else None
            if table is not None:
                tables[name] = table
        return cls(space, tables, settings)

    @classmethod
    def standard(
        cls,
        space: SearchSpace,
        num_joints: int,
        convention: str = "exact",
        extra: Mapping[str, CostTable] | None = None,
    ) -> Costs:
        """MACs and parameters, and the tables of `extra`."""
        settings = CostSettings(num_joints, convention)
        return cls(space, {**cls.of(space, settings).tables, **(extra or {})}, settings)

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
        return np.array(self._ends[0])

    def of_largest(self) -> Floats:
        """(C,) costs of the largest subnet."""
        return np.array(self._ends[1])

    def provenance(self) -> dict[str, dict[str, Any]]:
        """By cost, where its numbers come from; costs that need no telling are left out."""
        tables = self.tables.items()
        found = {name: COSTS.get(name).provenance(table, self.settings) for name, table in tables}
        return {name: provenance for name, provenance in found.items() if provenance}

    def origins(self) -> dict[str, str]:
        """`provenance` in a few words each, for people."""
        return {name: COSTS.get(name).origin(found) for name, found in self.provenance().items()}
