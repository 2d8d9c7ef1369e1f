"""Latency of whole networks from codes: the sum of their parts, fitted to measured whole networks; and how
well that predicts networks that the fit did not see."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import lsq_linear

from supernet.cost import PartTable, part_choices
from supernet.errors import InputError
from supernet.sampling import CostTable
from supernet.space import Codes, SearchSpace

from ..accuracy.predictor import tau_of
from ..devices.measurements import Measurements, middle, retest_spread
from .contract import Cost, CostSettings, Floats
from .parts import CorrectedModel, Part, PartModel, PartTimes, network_parts, wired_parts

FILE = "latency.json"
RUNS = Path("runs/profile")
FOLDS = 4
# A prediction counts as right within the larger of this and twice the spread between rounds.
WITHIN = 0.10
# Share of networks below which a table is said to be poor.
ENOUGH = 0.90
# How strongly a group's factor is held to the common one, against squared relative errors of whole networks.
HOLD = 0.05


class LatencyTable:
    """Milliseconds of architectures on one device.

    A part alone runs in other circumstances than inside a network (caches, memory, calls), so each group of
    parts gets a factor, and all networks a constant, fitted to the whole networks that were measured.

    Args:
        measured: parts and networks of the space, or of one that holds it.
        space: of the codes; default the measured one.
        model: of the measured parts; default fitted here, which takes seconds.

    Attributes:
        about: device, runtime, threads, precision, date.
        factors: of each group of parts, and of the constant (milliseconds).

    Raises:
        InputError: `space` has choices that the measured one has not.
    """

    def __init__(
        self, measured: Measurements, space: SearchSpace | None = None, model: PartTimes | None = None
    ) -> None:
        self.about = dict(measured.about)
        self.space = space or measured.space
        self.num_joints = measured.num_joints
        require_within(self.space, measured.space)
        self._model = model or fit_parts(measured)
        self._known: dict[Part, float] = {}
        self.factors = self._fit(measured)
        found = part_choices(self.space, self.num_joints, wired_parts)
        every = {part for choices in found for part in choices.parts if part is not None}
        self._learn(part.at(side) for part in every for side in self.space.resolution)
        self._table = PartTable(self.space, self.num_joints, wired_parts, self._cost)

    @classmethod
    def load(cls, path: str | os.PathLike[str], space: SearchSpace | None = None) -> LatencyTable:
        """Read a table that `search.profile` wrote.

        Raises:
            InputError: the file is missing, damaged, or of another space.
        """
        measured = Measurements.load(path).steady()
        try:
            return cls(measured, space)
        except InputError as error:
            raise InputError(f"latency table {path}: {error}") from None

    def predict(self, codes: Codes) -> Floats:
        """(N,) milliseconds of (N, G) codes."""
        return np.asarray(self._table.predict(codes) + self.factors["constant"], dtype=np.float64)

    def _fit(self, measured: Measurements) -> dict[str, float]:
        """Non-negative least squares of relative errors, every factor held to the ratio of the totals."""
        archs = measured.space.decode(measured.codes)
        networks = [network_parts(arch, self.num_joints) for arch in archs]
        self._learn(part for parts in networks for part in parts)
        groups = ordered_groups(part for parts in networks for part in parts)
        sums = np.array(
            [[sum(self._known[p] for p in parts if p.group == g) for g in groups] for parts in networks]
        ).reshape(len(networks), len(groups))
        factors = np.ones(len(groups) + 1)
        factors[-1] = 0.0
        if len(networks) >= 2:
            times = middle(measured.networks)
            common = float(np.median(times / sums.sum(axis=1)))
            rows = np.column_stack([sums, np.ones(len(networks))]) / times[:, None]
            weight = np.sqrt(HOLD * len(networks))
            hold = weight * np.eye(len(groups), len(groups) + 1)
            right = np.concatenate([np.ones(len(networks)), np.full(len(groups), weight * common)])
            factors = lsq_linear(np.vstack([rows, hold]), right, bounds=(0.0, np.inf)).x
        return dict(zip((*groups, "constant"), map(float, factors), strict=True))

    def _learn(self, parts: Iterable[Part]) -> None:
        fresh = [part for part in dict.fromkeys(parts) if part not in self._known]
        if fresh:
            self._known.update(zip(fresh, self._model.predict(fresh).tolist(), strict=True))

    def _cost(self, resolution: int, part: Part) -> float:
        return self.factors[part.group] * self._known[part.at(resolution)]


def ordered_groups(parts: Iterable[Part]) -> list[str]:
    """The groups of `parts` as they come, those of one kind together."""
    found: dict[str, dict[str, None]] = {}
    for part in parts:
        found.setdefault(part.kind, {})[part.group] = None
    return [group for groups in found.values() for group in groups]


def fit_parts(measured: Measurements) -> PartTimes:
    """The model of the parts that were measured alone, another device's corrected by this one's."""
    parts = measured_parts(measured)
    model = PartModel(parts, middle(measured.parts))
    if measured.own is None:
        return model
    return CorrectedModel(model, parts, measured_parts(measured.own), middle(measured.own.parts))


def measured_parts(measured: Measurements) -> list[Part]:
    """The parts that were measured alone."""
    found = []
    for arch, place in zip(measured.space.decode(measured.sources), measured.places, strict=True):
        parts = network_parts(arch, measured.num_joints)
        if not 0 <= place < len(parts):
            raise InputError(f"a measured part is number {place} of a network that has {len(parts)}")
        found.append(parts[place])
    return found


def require_within(space: SearchSpace, measured: SearchSpace) -> None:
    """Raise InputError unless every choice of `space` was open in `measured`."""

    there = measured.dimensions
    for gene in space.dimensions.values():
        known = there.get(gene.name)
        choices = known.choices if known else ()
        # Depths below the deepest that was measured only leave blocks out.
        wanted = gene.choices[-1:] if gene.kind == "depth" else gene.choices
        allowed = range(1, choices[-1] + 1) if gene.kind == "depth" and choices else choices
        lacking = [value for value in wanted if value not in allowed]
        if lacking:
            raise InputError(
                f"it was measured for space {measured.name!r}, whose {gene.label} has no "
                f"{lacking[0]}; measure space {space.name!r} with search.profile"
            )


def table_path(source: str) -> Path:
    """The file of a table: itself, in the folder of a run of `search.profile`, or of its name."""
    path = Path(source)
    if path.is_dir():
        return path / FILE
    return RUNS / path / FILE if not path.exists() and len(path.parts) == 1 and not path.suffix else path


def open_latency(source: str, space: SearchSpace, num_joints: int) -> LatencyTable:
    """The table of a file, or of a run of `search.profile` (its folder, or its name in runs/profile).

    Raises:
        InputError: there is none, or it is of another space or number of joints.
    """
    path = table_path(source)
    table = LatencyTable.load(path, space)
    if table.num_joints != num_joints:
        raise InputError(
            f"latency table {path}: it was measured for {table.num_joints} joints, the supernet has "
            f"{num_joints}; measure again with search.profile num_joints={num_joints}"
        )
    return table


class Latency(Cost):
    """Milliseconds of one image on a measured device."""

    name, unit, title, counted = "latency_ms", "ms", "latency", False
    mend: ClassVar[str] = "name a measured device with latency=..."

    def table(self, space: SearchSpace, settings: CostSettings) -> LatencyTable | None:
        """The table that the settings name."""
        source = settings.latency
        return None if source is None else open_latency(source, space, settings.num_joints)

    def suffix(self) -> str:
        """Amounts are followed by their unit."""
        return self.unit

    def provenance(self, table: CostTable, settings: CostSettings) -> dict[str, Any]:
        """Device, runtime, threads, precision, date and so on; of another kind of table nothing is known."""
        return dict(table.about) if isinstance(table, LatencyTable) else {}

    def origin(self, provenance: Mapping[str, Any]) -> str:
        """`phone, onnxruntime 1.20, threads 1, float32, measured 2025-01-31`."""
        known = {key: provenance.get(key) for key in ("device", "runtime", "threads", "precision", "date")}
        return "{device}, {runtime}, threads {threads}, {precision}, measured {date:.10}".format(
            **{key: str(value) for key, value in known.items()}
        )


LATENCY = Latency()


@dataclass(frozen=True)
class LatencyCheck:
    """Predicted against measured times of whole networks.

    Attributes:
        about: what the table says of itself.
        predicted, measured: (N,) milliseconds.
        spread: (N,) relative test-retest spread.
    """

    about: Mapping[str, Any]
    predicted: Floats
    measured: Floats
    spread: Floats

    @property
    def errors(self) -> Floats:
        """(N,) relative errors, with sign."""
        return np.asarray(self.predicted / self.measured - 1)

    @property
    def within(self) -> float:
        """Share of networks predicted within the larger of 10% and twice their spread."""
        return float((np.abs(self.errors) <= np.maximum(WITHIN, 2 * self.spread)).mean())

    @property
    def tau(self) -> float:
        """Kendall tau."""
        return tau_of(self.predicted, self.measured)

    @property
    def warning(self) -> str | None:
        """One line where too few are predicted well: not even nine of ten."""
        if self.within >= ENOUGH:
            return None
        more = "raise measure.parts" if "prior" in self.about else "raise measure.rounds and measure.parts"
        return (
            f"only {100 * self.within:.0f}% of networks are predicted within the larger of 10% and twice the "
            f"test-retest spread; {more}" + (", or leave device.prior out" if "prior" in self.about else "")
        )

    def shown(self) -> str:
        """One line."""
        error = 100 * np.abs(self.errors)
        return (
            f"{len(self.measured)} networks that the fit did not see: error {np.median(error):.1f}% median, "
            f"{np.quantile(error, 0.95):.1f}% at the 95th percentile; {100 * self.within:.0f}% within the "
            f"larger of 10% and twice the test-retest spread (median {100 * np.median(self.spread):.1f}%); "
            f"tau {self.tau:.3f}"
        )


def check_table(measured: Measurements) -> LatencyCheck:
    """Cross-validated: every network is predicted by a table that was fitted without it."""
    count = len(measured.codes)
    predicted = np.empty(count)
    order = np.random.default_rng(0).permutation(count)
    model = fit_parts(measured)
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        rest = np.setdiff1d(order, held)
        some = replace(measured, codes=measured.codes[rest], networks=measured.networks[rest])
        predicted[held] = LatencyTable(some, model=model).predict(measured.codes[held])
    return LatencyCheck(
        measured.about, predicted, middle(measured.networks), retest_spread(measured.networks)
    )


def check_against(table: LatencyTable, held_out: Measurements) -> LatencyCheck:
    """Against networks measured apart."""
    predicted = table.predict(held_out.codes)
    return LatencyCheck(table.about, predicted, middle(held_out.networks), retest_spread(held_out.networks))


def draw_check(check: LatencyCheck) -> bytes:
    """Predicted against measured, as PNG."""
    from ..report.plots import new_figure, png

    figure, axes = new_figure(5.4, 5.2)
    plot_check(axes, check)
    return png(figure)


def plot_check(axes: Any, check: LatencyCheck) -> None:
    """Predicted against measured, into matplotlib axes."""
    from matplotlib.ticker import LogLocator, NullFormatter

    from ..report.plots import BLUE, GREY

    ends = [
        0.9 * min(check.measured.min(), check.predicted.min()),
        1.1 * max(check.measured.max(), check.predicted.max()),
    ]
    axes.plot(ends, ends, color=GREY, linewidth=1)
    axes.fill_between(
        ends, [0.9 * e for e in ends], [1.1 * e for e in ends], color=GREY, alpha=0.3, label="10%"
    )
    axes.plot(check.measured, check.predicted, "o", color=BLUE, markersize=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("measured (ms)")
    axes.set_ylabel("predicted (ms)")
    axes.set_title(f"{check.about.get('runtime')}, threads: {check.about.get('threads')}", fontsize=10)
    axes.grid(alpha=0.25, which="both")
    axes.legend(loc="lower right")
