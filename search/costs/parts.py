"""The parts of a network that are timed on their own, and the time of any part from those measured."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from supernet.cost import split_parts
from supernet.errors import InputError
from supernet.family import Architecture, Layer, norm_sources, trace

from ..accuracy.models import RelevanceGaussianProcess

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
# Layers of a part that its time is told from, in any case.
FIRST = 3


@dataclass(frozen=True)
class Part:
    """One part at one resolution; equal parts take equal time wherever they stand.

    Attributes:
        group: `stem`, `stage1`, or what else a family calls it; equal parts of different groups differ in
            what surrounds them.
        resolution: side of the network's square input in pixels; 0 while that is open.
        layers: the part's layers, with names that do not tell its place.
        biased: per layer whether its convolution has a bias once batch norms are folded.
        reads: (channels, scale) of each map that it takes from other parts.
        steps: what runs: the place of a layer, or None for a sum, and the numbers of the values it takes:
            first the maps that are read, then what each step gives.
        outputs: the numbers of the values that other parts take.
    """

    group: str
    resolution: int
    layers: tuple[Layer, ...]
    biased: tuple[bool, ...]
    reads: tuple[tuple[int, int], ...]
    steps: tuple[tuple[int | None, tuple[int, ...]], ...]
    outputs: tuple[int, ...]

    @property
    def kind(self) -> str:
        """The group without its number; parts of one kind share a model of their times."""
        return self.group.rstrip("0123456789")

    @property
    def inputs(self) -> tuple[tuple[int, int], ...]:
        """(channels, side) of each map that it reads."""
        return tuple((channels, self.resolution // scale) for channels, scale in self.reads)

    @property
    def is_residual(self) -> bool:
        """Whether the part adds a map that it reads."""
        return any(place is None and min(values) < len(self.reads) for place, values in self.steps)

    def at(self, resolution: int) -> Part:
        """The same at a resolution."""
        return replace(self, resolution=resolution)

    def run(self, apply: Callable[[Layer, T], T], add: Callable[[T, T], T], inputs: Iterable[T]) -> list[T]:
        """Its outputs: `apply(layer, value)` computes a layer, `add` a sum."""
        values = list(inputs)
        for place, taken in self.steps:
            if place is None:
                values.append(add(values[taken[0]], values[taken[1]]))
            else:
                values.append(apply(self.layers[place], values[taken[0]]))
        return [values[number] for number in self.outputs]


def wired_parts(arch: Architecture, num_joints: int) -> dict[str, Part]:
    """The parts of a network by name, of no resolution yet, as its wiring shows them.

    A sum belongs to the part that made one of its terms, if that made or reads the other too; sums between
    parts belong to none.
    """
    steps, outputs = trace(arch, num_joints)
    # By value, the part that makes it, and (channels, scale).
    makers: list[str | None] = [None]
    maps = [(3, 1)]
    parts = split_parts(arch, num_joints)
    reads: dict[str, dict[int, None]] = {name: {} for name in parts}
    made: dict[str, list[int]] = {name: [] for name in parts}
    for i, (layer, taken) in enumerate(steps):
        if layer is not None:
            maker: str | None = layer.part or layer.name
            maps.append((layer.out_channels, layer.scale))
        else:
            maker = makers[max(taken)]
            if maker is not None and makers[min(taken)] != maker and min(taken) not in reads[maker]:
                maker = None
            maps.append(maps[taken[0]])
        makers.append(maker)
        if maker is not None:
            made[maker].append(i)
            reads[maker] |= {value: None for value in taken if makers[value] != maker}
    used = set(outputs) | {
        value for i, (_, taken) in enumerate(steps) for value in taken if makers[i + 1] != makers[value]
    }
    biased = {sources[0] for sources in norm_sources(arch, num_joints).values()}
    found = {}
    for name, own in parts.items():
        here = made[name]
        numbers = {value: i for i, value in enumerate([*reads[name], *(i + 1 for i in here)])}
        places = {layer.name: place for place, layer in enumerate(own)}
        found[name] = Part(
            own[0].group,
            0,
            tuple(_nameless(layer, name) for layer in own),
            tuple(layer.name in biased for layer in own),
            tuple(maps[value] for value in reads[name]),
            tuple(
                (None if layer is None else places[layer.name], tuple(numbers[value] for value in taken))
                for layer, taken in (steps[i] for i in here)
            ),
            tuple(numbers[i + 1] for i in here if i + 1 in used),
        )
    return found


@lru_cache(maxsize=8192)
def _nameless(layer: Layer, part: str) -> Layer:
    """`layer` of a part with this name, without what tells where that stands."""
    own = layer.name.removeprefix(f"{part}.") if layer.part else layer.kind
    return replace(layer, name=own, part="", group="", closes_branch=False)


def network_parts(arch: Architecture, num_joints: int) -> list[Part]:
    """The parts of a network at its own resolution."""
    return [part.at(arch.resolution) for part in wired_parts(arch, num_joints).values()]


class PartModel:
    """Milliseconds of parts, one process per kind; a part that was measured takes part in its own prediction.

    Args:
        parts: measured parts.
        milliseconds: (N,) their times.

    Raises:
        InputError: nothing was measured, or a time is not positive.
    """

    def __init__(self, parts: Sequence[Part], milliseconds: Floats) -> None:
        if not len(parts) or not (np.isfinite(milliseconds) & (milliseconds > 0)).all():
            raise InputError("latency of parts: expected positive milliseconds of at least one part")
        self._models: dict[str, Process] = {}
        for kind, chosen in _by_kind(parts).items():
            self._models[kind] = best_process([parts[i] for i in chosen], milliseconds[chosen])

    def predict(self, parts: Sequence[Part]) -> Floats:
        """(N,) milliseconds.

        Raises:
            InputError: no part of a kind was measured.
        """
        found = np.empty(len(parts))
        for kind, chosen in _by_kind(parts).items():
            if kind not in self._models:
                raise InputError(f"latency of parts: no part of kind {kind!r} was measured")
            found[chosen] = self._models[kind].predict([parts[i] for i in chosen])
        return found


class CorrectedModel:
    """Times of parts that another device took, corrected by some that this one took: per kind, a process on
    the logarithm of their ratio.

    Args:
        model: of the other device.
        known: the parts that it was made of.
        parts: those that were measured here.
        milliseconds: (N,) their times here.
    """

    def __init__(
        self, model: PartModel, known: Sequence[Part], parts: Sequence[Part], milliseconds: Floats
    ) -> None:
        self._model = model
        off = np.log(milliseconds) - np.log(model.predict(parts))
        places = _by_kind(known)
        self._ratios: dict[str, tuple[PartFeatures, RelevanceGaussianProcess]] = {}
        for kind, chosen in _by_kind(parts).items():
            own = PartFeatures([known[i] for i in places[kind]])
            ratio = RelevanceGaussianProcess()
            ratio.fit(own.near([parts[i] for i in chosen]), off[chosen])
            self._ratios[kind] = own, ratio

    def predict(self, parts: Sequence[Part]) -> Floats:
        """(N,) milliseconds."""
        found = self._model.predict(parts)
        for kind, chosen in _by_kind(parts).items():
            if kind in self._ratios:
                own, ratio = self._ratios[kind]
                found[chosen] *= np.exp(ratio.predict(own.near([parts[i] for i in chosen]))[0])
        return found


PartTimes = PartModel | CorrectedModel


def telling_parts(parts: Sequence[Part], counts: Mapping[str, int]) -> list[int]:
    """Places of some of `parts`, so many of each kind as `counts` says, that tell most of the others.

    One after the other, the one that those before leave least certain (Krause et al., JMLR 9, 2008), by a
    squared-exponential kernel.
    """
    found = []
    for kind, places in _by_kind(parts).items():
        own = [parts[i] for i in places]
        x = PartFeatures(own).near(own)
        squares = (x * x).sum(axis=1)
        left = np.exp(x @ x.T - 0.5 * (squares[:, None] + squares))
        left.flat[:: len(x) + 1] += 0.01
        for _ in range(min(counts.get(kind, 0), len(places))):
            best = int(np.diag(left).argmax())
            found.append(places[best])
            column = left[:, best].copy()
            left -= np.outer(column, column) / column[best]
    return sorted(found)


def _by_kind(parts: Sequence[Part]) -> dict[str, list[int]]:
    """The places of the parts of each kind."""
    found: dict[str, list[int]] = {}
    for i, part in enumerate(parts):
        found.setdefault(part.kind, []).append(i)
    return found


def best_process(parts: Sequence[Part], milliseconds: Floats) -> Process:
    """Of times smooth in the resolution and times with a step at each, what foretells parts best from others.

    torch's convolutions are faster or slower at some resolutions than at those beside them; onnxruntime's are
    hardly.
    """
    resolutions = tuple(sorted({part.resolution for part in parts}))
    found = [Process(parts, milliseconds, levels) for levels in ((), resolutions)]
    return max(found, key=lambda process: process.density)


class Process:
    """Gaussian process on log times with a length scale per feature; the mean falls back to a line in the
    logarithms of the sizes.

    Args:
        parts: measured parts of one kind.
        milliseconds: (N,) their times.
        levels: resolutions at which times may step.

    Attributes:
        density: mean logarithm of the leave-one-out predictive density (Rasmussen & Williams 2006, section
            5.4.2).
    """

    def __init__(self, parts: Sequence[Part], milliseconds: Floats, levels: tuple[int, ...]) -> None:
        self._features = PartFeatures(parts, levels)
        x = self._features(parts)
        y = np.log(milliseconds)
        self._mean = float(y.mean())
        kernel = (
            ConstantKernel(1.0, (1e-2, 1e2)) * RBF(np.full(x.shape[1], 3.0), (0.5, 50.0))
            + ConstantKernel(1.0, (1e-2, 1e2)) * DotProduct(1.0, sigma_0_bounds="fixed")
            + WhiteKernel(1e-2, (1e-5, 1.0))
        )
        self._process = GaussianProcessRegressor(kernel, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._process.fit(x, y - self._mean)
        lower = self._process.L_
        precision = np.diag(cho_solve((lower, True), np.eye(len(lower))))
        squares = self._process.alpha_**2 / precision
        self.density = 0.5 * float(np.mean(np.log(precision / (2 * np.pi)) - squares))

    def predict(self, parts: Sequence[Part]) -> Floats:
        """(N,) milliseconds."""
        return np.asarray(np.exp(self._process.predict(self._features(parts)) + self._mean))


class PartFeatures:
    """(N, F) features of parts of one kind, of mean 0 and deviation 1 over those given.

    Args:
        parts: of one kind.
        levels: resolutions that have a feature each.
    """

    def __init__(self, parts: Sequence[Part], levels: tuple[int, ...] = ()) -> None:
        self._levels = levels
        weighing = {layer.name for part in parts for layer in part.layers if layer.weights}
        self._described = {name: name in weighing for name in described_layers(parts)}
        self._num_inputs = max(len(part.reads) for part in parts)
        x = self._raw(parts)
        self._center, scale = x.mean(axis=0), x.std(axis=0)
        self._scale = np.where(scale > 1e-9, scale, 1.0)

    def __call__(self, parts: Sequence[Part]) -> Floats:
        """(N, F) features."""
        return np.asarray((self._raw(parts) - self._center) / self._scale)

    def near(self, parts: Sequence[Part]) -> Floats:
        """(N, F) the same, so that two parts are about three apart however many features there are."""
        x = self(parts)
        return np.asarray(2 * x / np.sqrt(x.shape[1]))

    def _raw(self, parts: Sequence[Part]) -> Floats:
        steps = [[float(part.resolution == level) for level in self._levels] for part in parts]
        rows = [features(part, self._described, self._num_inputs) for part in parts]
        return np.column_stack([np.stack(rows), np.array(steps)])


def described_layers(parts: Sequence[Part]) -> list[str]:
    """Names of the layers whose sizes tell the parts of one kind apart: the first ones, and those of the
    others on which parts differ that are equal in all before.
    """
    places: dict[str, int] = {}
    for part in parts:
        for place, layer in enumerate(part.layers):
            places[layer.name] = max(place, places.get(layer.name, 0))
    names = sorted(places, key=lambda name: places[name])
    chosen = names[:FIRST]
    for name in names[FIRST:]:
        known: dict[Any, Layer | None] = {}
        for part in parts:
            own = {layer.name: layer for layer in part.layers}
            before = part.layers[0].scale, tuple(own.get(other) for other in chosen)
            if known.setdefault(before, own.get(name)) != own.get(name):
                chosen.append(name)
                break
    return chosen


def features(part: Part, described: Mapping[str, bool], num_inputs: int) -> Floats:
    """Numbers that decide a part's time: logarithms of each layer's work and of the maps read and written.

    Args:
        part: the part.
        described: names of the layers that are described, and whether they have weights; zeros stand for one
            that the part has not.
        num_inputs: the most maps that a part of its kind reads.
    """
    own = {layer.name: layer for layer in part.layers}
    found: list[float] = [np.log(part.resolution), float(part.is_residual), float(part.layers[0].scale)]
    for name, weighs in described.items():
        layer = own.get(name)
        if layer is None:
            found += [0.0] * (3 + weighs)
            continue
        side = part.resolution / layer.scale
        if weighs:
            found.append(np.log(layer.macs(part.resolution, part.resolution, "exact")))
        found += [np.log(layer.out_channels * side**2), np.log(layer.out_channels), float(layer.kernel)]
    absent = [0.0] * (num_inputs - len(part.inputs))
    found += [np.log(channels * side**2) for channels, side in part.inputs] + absent
    found += [np.log(channels) for channels, _ in part.inputs] + absent
    # What a convolution library does depends on whether channels fill its vectors.
    found += [float(name in own and own[name].out_channels % 16 == 0) for name in described]
    return np.array(found, dtype=np.float64)
