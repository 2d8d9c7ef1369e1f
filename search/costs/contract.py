"""What a cost is: its unit, how people write and read it, and its table over the codes of a space.

`budgets.<name>=[...]` of `search.run` takes every cost in `COSTS`; docs/extending.md adds one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from supernet.cost import (
    MacsTable,
    ParamsTable,
    PartTable,
    Passes,
    Reduce,
    check_convention,
    count_macs,
    count_params,
    reduced,
    split_parts,
)
from supernet.family import Architecture, Layer, layers
from supernet.heads.contract import with_each_head
from supernet.memory import MemoryTable, bytes_of, layer_flash, peak_memory
from supernet.registry import Registry
from supernet.sampling import CostTable
from supernet.space import Codes, SearchSpace

Floats = npt.NDArray[np.float64]
# The public names of `search` come from here.
__all__ = [
    "COSTS",
    "Cost",
    "CostSettings",
    "Costs",
    "Floats",
    "LayerCost",
    "MacsTable",
    "ParamsTable",
    "count_macs",
    "count_params",
]
# Of every candidate, whatever is budgeted.
ALWAYS = ("macs", "params")
# What may follow the number of things that are counted, the longest first.
PREFIXES = {"Ki": 2**10, "Mi": 2**20, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class CostSettings:
    """What costs depend on besides the architecture.

    Attributes:
        num_joints: J.
        convention: how MACs are counted, `exact` or `litepose`.
        precision: of weights and maps in memory: `int8`, `float32`, or `ethos_u` (INT8 on Arm's Ethos-U).
        latency: a latency table: a file, or the name of a run of `search.profile`.
        passes: what is run for an image where networks are scored.
    """

    num_joints: int = 14
    convention: str = "exact"
    precision: str = "int8"
    latency: str | None = None
    passes: Passes = field(default_factory=Passes)

    def __post_init__(self) -> None:
        check_convention(self.convention)
        bytes_of(self.precision)


class Cost(ABC):
    """One thing that networks cost; less is better.

    Attributes:
        name: in `budgets.<name>`, tables and files.
        unit: of its values.
        title: what stands before the unit on axes, where the unit alone does not tell.
        counted: whether it is a number of things: k, M, G may follow it, and up to 1 it is a share of the
            largest subnet.
        monotone: whether no architecture costs less than the smallest of its space.
        mend: what makes it available where it is not.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    title: ClassVar[str] = ""
    counted: ClassVar[bool] = True
    monotone: ClassVar[bool] = False
    mend: ClassVar[str] = ""

    @abstractmethod
    def table(self, space: SearchSpace, settings: CostSettings) -> CostTable | None:
        """The table over the codes of `space`; None if these settings give none (see `mend`).

        Raises:
            InputError: what the settings name is missing, damaged or of another space.
        """

    def of_arch(self, arch: Architecture, space: SearchSpace, settings: CostSettings) -> float | None:
        """The cost of one architecture, in the space or not; None without a table.

        Raises:
            InputError: only architectures of the space can be told, and `arch` is none.
        """
        table = self.table(space, settings)
        return None if table is None else float(table.predict(space.encode([arch]))[0])

    def parse(self, text: str) -> float:
        """The value that a user wrote.

        Raises:
            ValueError: it is no amount.
        """
        for prefix, factor in PREFIXES.items() if self.counted else ():
            if text.endswith(prefix):
                return float(text.removesuffix(prefix)) * factor
        return float(text)

    def format(self, value: float) -> str:
        """For people: `0.883 G MACs`, `12.3 ms`."""
        scale, unit = self.scale(value)
        return f"{value / scale:.4g} {unit}"

    def scale(self, value: float) -> tuple[float, str]:
        """What to divide values as large as `value` by, and the unit that is left."""
        for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if self.counted and value >= factor:
                return factor, f"{letter} {self.unit}"
        return 1.0, self.unit

    def suffix(self) -> str:
        """What a budget is called after its amount, if it is given no name."""
        return f"-{self.name}"

    def provenance(self, table: CostTable, settings: CostSettings) -> dict[str, Any]:
        """Where the table's numbers come from, as plain values: a search's results depend on it."""
        return {}

    def origin(self, provenance: Mapping[str, Any]) -> str:
        """`provenance` in a few words, for the report."""
        return ", ".join(f"{key} {value}" for key, value in provenance.items())


class LayerCost(Cost):
    """A cost that every layer has by itself; a network's is their sum, or the largest of them.

    Attributes:
        reduce: `sum` or `max`.
        dtype: of the table; integers stay exact.
    """

    reduce: ClassVar[Reduce] = "sum"
    dtype: ClassVar[type] = np.float64
    monotone = True

    @abstractmethod
    def of_layer(self, layer: Layer, resolution: int, settings: CostSettings) -> float:
        """The cost of one layer of a network whose square input has sides of `resolution` pixels."""

    def table(self, space: SearchSpace, settings: CostSettings) -> CostTable:
        """All layers of the space, tabulated."""

        def cost(resolution: int, found: Iterable[Layer]) -> float:
            return reduced(self.reduce, (self.of_layer(layer, resolution, settings) for layer in found))

        return PartTable(space, settings.num_joints, split_parts, cost, self.dtype, self.reduce)

    def of_arch(self, arch: Architecture, space: SearchSpace, settings: CostSettings) -> float:
        """The cost of any architecture at its own resolution."""
        found = layers(arch, settings.num_joints)
        return reduced(self.reduce, (self.of_layer(layer, arch.resolution, settings) for layer in found))


class Macs(LayerCost):
    """Multiply-accumulates of one image."""

    name, unit, dtype = "macs", "MACs", np.int64

    def of_layer(self, layer: Layer, resolution: int, settings: CostSettings) -> int:
        """MACs by the convention of the settings."""
        return layer.macs(resolution, resolution, check_convention(settings.convention))

    def suffix(self) -> str:
        """Amounts without more are MACs."""
        return ""

    def provenance(self, table: CostTable, settings: CostSettings) -> dict[str, Any]:
        """How they were counted."""
        return {"convention": settings.convention}

    def origin(self, provenance: Mapping[str, Any]) -> str:
        """`exact counting`."""
        return f"{provenance['convention']} counting"


class ScoredMacs(LayerCost):
    """Multiply-accumulates of all that the scoring test runs for one image (see `Passes`)."""

    name, unit = "scored_macs", "scored MACs"

    def of_layer(self, layer: Layer, resolution: int, settings: CostSettings) -> float:
        """The mean over the test's images."""
        convention = check_convention(settings.convention)
        shapes = settings.passes.shapes(resolution).items()
        return sum(number * layer.macs(*shape, convention) for shape, number in shapes)

    def suffix(self) -> str:
        """See `Cost`."""
        return "-scored"

    def provenance(self, table: CostTable, settings: CostSettings) -> dict[str, Any]:
        """How they were counted, and for which inputs."""
        shapes = settings.passes.shapes(1024)  # a side at which most shapes differ
        inputs = {"x".join(map(str, shape)): number for shape, number in sorted(shapes.items())}
        return {"convention": settings.convention, "test": settings.passes.told(), "inputs": inputs}

    def origin(self, provenance: Mapping[str, Any]) -> str:
        """`exact counting, flip, 4:3`."""
        return f"{provenance['convention']} counting, {provenance['test']}"


class Params(LayerCost):
    """Trainable parameters."""

    name, unit, dtype = "params", "parameters", np.int64

    def of_layer(self, layer: Layer, resolution: int, settings: CostSettings) -> int:
        """Convolution weights, batch-norm weights and biases."""
        return layer.params


class Memory(Cost):
    """What costs in bytes share: `256k`, `256KiB`, `0.5MB`; shown as `221.2 kB`."""

    unit = "B"

    def parse(self, text: str) -> float:
        """A `B` may follow; see `Cost`."""
        return super().parse(text.removesuffix("B"))

    def scale(self, value: float) -> tuple[float, str]:
        """See `Cost`."""
        factor, unit = super().scale(value)
        return factor, unit.replace(" ", "")

    def provenance(self, table: CostTable, settings: CostSettings) -> dict[str, Any]:
        """For which precision."""
        return {"precision": settings.precision}

    def origin(self, provenance: Mapping[str, Any]) -> str:
        """`int8`."""
        return str(provenance["precision"])


class Ram(Memory):
    """Peak of live maps on a small device, see `supernet.memory`."""

    name, title = "ram", "RAM"

    def table(self, space: SearchSpace, settings: CostSettings) -> MemoryTable:
        """Exact."""
        return MemoryTable(space, settings.num_joints, settings.precision)

    def of_arch(self, arch: Architecture, space: SearchSpace, settings: CostSettings) -> float:
        """Of any architecture at its own resolution."""
        shape = arch.resolution, arch.resolution
        return peak_memory(arch, settings.num_joints, settings.precision, shape)


class Flash(Memory, LayerCost):
    """Weights and biases as a small device stores them."""

    name, title, dtype = "flash", "flash", np.int64

    def of_layer(self, layer: Layer, resolution: int, settings: CostSettings) -> int:
        """See `supernet.memory.layer_flash`."""
        return layer_flash(layer, settings.precision)


MACS, SCORED_MACS, PARAMS, RAM, FLASH = Macs(), ScoredMacs(), Params(), Ram(), Flash()
COSTS: Registry[Cost] = Registry(
    "cost",
    {
        "macs": "search.costs.contract:MACS",
        "params": "search.costs.contract:PARAMS",
        "latency_ms": "search.costs.latency:LATENCY",
        "ram": "search.costs.contract:RAM",
        "flash": "search.costs.contract:FLASH",
        "scored_macs": "search.costs.contract:SCORED_MACS",
    },
)


def format_cost(name: str, value: float) -> str:
    """A cost for people: `0.883 G MACs`, `1.68 M parameters`, `12.3 ms`."""
    return COSTS.get(name).format(value)


def log_cost(values: npt.ArrayLike) -> Floats:
    """The natural logarithm of costs of any shape; what costs nothing counts as 1e-12 of its unit."""
    return np.asarray(np.log(np.maximum(values, 1e-12)))


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
        ends = [self.predict(with_each_head(space, arch)) for arch in (space.smallest(), space.largest())]
        self._ends = ends[0].min(axis=0), ends[1].max(axis=0)

    @classmethod
    def of(
        cls, space: SearchSpace, settings: CostSettings = CostSettings(), wanted: Iterable[str] = ()
    ) -> Costs:
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
        """(C,) costs of the smallest subnet, each with the head that costs least."""
        return np.array(self._ends[0])

    def of_largest(self) -> Floats:
        """(C,) costs of the largest subnet, each with the head that costs most."""
        return np.array(self._ends[1])

    def provenance(self) -> dict[str, dict[str, Any]]:
        """By cost, where its numbers come from; costs that need no telling are left out."""
        tables = self.tables.items()
        found = {name: COSTS.get(name).provenance(table, self.settings) for name, table in tables}
        return {name: provenance for name, provenance in found.items() if provenance}

    def origins(self) -> dict[str, str]:
        """`provenance` in a few words each, for people."""
        return {name: COSTS.get(name).origin(found) for name, found in self.provenance().items()}
