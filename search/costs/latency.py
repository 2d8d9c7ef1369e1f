"""Latency of whole networks from codes: the sum of their parts, fitted to measured whole networks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear

from supernet.arch import SWITCHES
from supernet.cost import AdditiveTable
from supernet.errors import InputError
from supernet.space import Codes, SearchSpace
from supernet.topology import Layer

from ..devices.measurements import Measurements, middle
from .parts import Part, PartModel, network_parts, split_parts

Floats = npt.NDArray[np.float64]
FILE = "latency.json"
RUNS = Path("runs/profile")
GROUPS = ("stem", "stage1", "stage2", "stage3", "stage4", "head1", "head2", "head3", "raw")
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
        self, measured: Measurements, space: SearchSpace | None = None, model: PartModel | None = None
    ) -> None:
        self.about = dict(measured.about)
        self.space = space or measured.space
        self.num_joints = measured.num_joints
        require_within(self.space, measured.space)
        self._model = model or fit_parts(measured)
        self._known: dict[Part, float] = {}
        self.factors = self._fit(measured)
        self._learn_all()
        self._table = AdditiveTable(self.space, self.num_joints, self._cost)

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
        self._learn({part for parts in networks for part in parts})
        sums = np.array(
            [[sum(self._known[p] for p in parts if p.group == g) for g in GROUPS] for parts in networks]
        ).reshape(len(networks), len(GROUPS))
        factors = np.ones(len(GROUPS) + 1)
        factors[-1] = 0.0
        if len(networks) >= 2:
            times = middle(measured.networks)
            common = float(np.median(times / sums.sum(axis=1)))
            rows = np.column_stack([sums, np.ones(len(networks))]) / times[:, None]
            weight = np.sqrt(HOLD * len(networks))
            hold = weight * np.eye(len(GROUPS), len(GROUPS) + 1)
            right = np.concatenate([np.ones(len(networks)), np.full(len(GROUPS), weight * common)])
            factors = lsq_linear(np.vstack([rows, hold]), right, bounds=(0.0, np.inf)).x
        return dict(zip((*GROUPS, "constant"), map(float, factors), strict=True))

    def _learn(self, parts: Iterable[Part]) -> None:
        fresh = [part for part in parts if part not in self._known]
        if fresh:
            self._known.update(zip(fresh, self._model.predict(fresh).tolist(), strict=True))

    def _learn_all(self) -> None:
        """Predict all parts of the space in one go."""
        found: set[Part] = set()

        def note(resolution: int, layers: Iterable[Layer]) -> float:
            found.update(split_parts(resolution, layers))
            return 0.0

        AdditiveTable(self.space, self.num_joints, note)
        self._learn(sorted(found, key=lambda part: str(part.to_row())))

    def _cost(self, resolution: int, layers: Iterable[Layer]) -> float:
        parts = split_parts(resolution, layers)
        return sum(self.factors[part.group] * self._known[part] for part in parts)


def fit_parts(measured: Measurements) -> PartModel:
    """The model of the parts that were measured alone."""
    return PartModel(measured_parts(measured), middle(measured.parts))


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

    def missing(what: str, wanted: tuple[int, ...], there: tuple[int, ...]) -> None:
        lacking = [value for value in wanted if value not in there]
        if lacking:
            raise InputError(
                f"it was measured for space {measured.name!r}, whose {what} has no {lacking[0]}; "
                f"measure space {space.name!r} with search.profile"
            )

    missing("resolution", space.resolution, measured.resolution)
    missing("stem", space.stem, measured.stem)
    for i, (stage, other) in enumerate(zip(space.stages, measured.stages, strict=True), start=1):
        for key in ("width", "kernel", "expansion"):
            missing(f"stage {i} {key}", getattr(stage, key), getattr(other, key))
        missing(f"stage {i} depth", stage.depth[-1:], tuple(range(1, other.depth[-1] + 1)))
    for i, (head, known) in enumerate(zip(space.head, measured.head, strict=True), start=1):
        missing(f"head {i}", head, known)
    for key in SWITCHES:
        for i, (switch, seen) in enumerate(zip(getattr(space, key), getattr(measured, key), strict=True), 1):
            missing(f"{key} {i}", switch, seen)


def open_latency(source: str, space: SearchSpace, num_joints: int) -> LatencyTable:
    """The table of a file, or of a run of `search.profile` (its folder, or its name in runs/profile).

    Raises:
        InputError: there is none, or it is of another space or number of joints.
    """
    path = Path(source)
    if path.is_dir():
        path = path / FILE
    elif not path.exists() and len(path.parts) == 1 and not path.suffix:
        path = RUNS / path / FILE
    table = LatencyTable.load(path, space)
    if table.num_joints != num_joints:
        raise InputError(
            f"latency table {path}: it was measured for {table.num_joints} joints, the supernet has "
            f"{num_joints}; measure again with search.profile num_joints={num_joints}"
        )
    return table
