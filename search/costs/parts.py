"""The parts of a network that are timed on their own, and the time of any part from those measured."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from supernet.errors import InputError
from supernet.family import Architecture, Layer, layers

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
# What parts are, by their group without its number; each has a model of its own.
KINDS = ("stem", "stage", "head", "raw")


@dataclass(frozen=True)
class Part:
    """One part at one resolution; equal parts take equal time wherever they stand.

    Attributes:
        group: `stem`, `stage1` .. `stage4`, `head1` .. `head3` or `raw`; equal parts of different groups
            differ in what surrounds them.
        resolution: side of the network's square input in pixels.
        layers: the part's layers, with names that do not tell its place.
    """

    group: str
    resolution: int
    layers: tuple[Layer, ...]

    @property
    def inputs(self) -> tuple[tuple[int, int], ...]:
        """(channels, side) of each input map."""
        first = self.layers[0]
        if first.kind == "deconv":
            side = self.resolution // (first.scale * first.stride)
            return tuple((layer.in_channels, side) for layer in self.layers if layer.kind == "deconv")
        return ((first.in_channels, self.resolution // (first.scale // first.stride)),)

    @property
    def is_residual(self) -> bool:
        """Whether the part adds its input (a block of stride 1 between equal widths)."""
        if not self.group.startswith("stage"):
            return False
        strides = {layer.stride for layer in self.layers}
        return strides == {1} and self.layers[0].in_channels == self.layers[-1].out_channels

    def to_row(self) -> list[object]:
        """Plain form: group, resolution, then the numbers of every layer."""
        found: list[object] = [self.group, self.resolution]
        for layer in self.layers:
            found.append([layer.name, layer.in_channels, layer.out_channels, layer.kernel])
        return found


def split_parts(resolution: int, found: Iterable[Layer]) -> list[Part]:
    """The parts that `found` (a network's layers, or some of its parts') makes up."""
    parts = []
    for name, some in itertools.groupby(found, lambda layer: layer.part):
        own = tuple(some)
        if own[0].group.rstrip("0123456789") not in KINDS:
            raise InputError(
                f"latency is told for networks of the litepose family; {name or own[0].name!r} is none of "
                "their parts"
            )
        renamed = (
            replace(layer, name=layer.name.removeprefix(f"{name}."), part="", group="", closes_branch=False)
            for layer in own
        )
        parts.append(Part(own[0].group, resolution, tuple(renamed)))
    return parts


def has_bias(layer: Layer) -> bool:
    """Whether a layer's convolution has a bias once batch norms are folded (see `subnets.network`)."""
    return layer.norm if layer.kind != "deconv" else layer.name.endswith("refined")


def network_parts(arch: Architecture, num_joints: int) -> list[Part]:
    """The parts of a network at its own resolution."""
    return split_parts(arch.resolution, layers(arch, num_joints))


def wire_part(part: Part, apply: Callable[[str, T], T], add: Callable[[T, T], T], inputs: list[T]) -> list[T]:
    """Run a part: `apply(layer name, value)` computes a layer, `add` a sum (see `supernet.family.wire`)."""
    if part.layers[0].kind == "deconv":
        x = apply("refined", inputs[0])
        if len(inputs) == 2:
            x = add(x, apply("raw", inputs[1]))
        x = apply("norm", x)
        outputs = [x]
        rest = part.layers[len(inputs) + 1 :]
        for layer in rest:
            x = apply(layer.name, x)
        return [*outputs, x] if rest else outputs
    x = inputs[0]
    for layer in part.layers:
        x = apply(layer.name, x)
    return [add(x, inputs[0]) if part.is_residual else x]


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
        for kind in KINDS:
            chosen = [i for i, part in enumerate(parts) if kind_of(part) == kind]
            if chosen:
                self._models[kind] = best_process([parts[i] for i in chosen], milliseconds[chosen])

    def predict(self, parts: Sequence[Part]) -> Floats:
        """(N,) milliseconds.

        Raises:
            InputError: no part of a kind was measured.
        """
        found = np.empty(len(parts))
        for kind in KINDS:
            chosen = [i for i, part in enumerate(parts) if kind_of(part) == kind]
            if chosen and kind not in self._models:
                raise InputError(f"latency of parts: no {kind} part was measured")
            if chosen:
                found[chosen] = self._models[kind].predict([parts[i] for i in chosen])
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
        self._levels = levels
        x = self._features(parts)
        self._center, scale = x.mean(axis=0), x.std(axis=0)
        self._scale = np.where(scale > 1e-9, scale, 1.0)
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
            self._process.fit(self._unit(x), y - self._mean)
        lower = self._process.L_
        precision = np.diag(cho_solve((lower, True), np.eye(len(lower))))
        squares = self._process.alpha_**2 / precision
        self.density = 0.5 * float(np.mean(np.log(precision / (2 * np.pi)) - squares))

    def _unit(self, x: Floats) -> Floats:
        return np.asarray((x - self._center) / self._scale)

    def predict(self, parts: Sequence[Part]) -> Floats:
        """(N,) milliseconds."""
        x = self._features(parts)
        return np.asarray(np.exp(self._process.predict(self._unit(x)) + self._mean))

    def _features(self, parts: Sequence[Part]) -> Floats:
        steps = [[float(part.resolution == level) for level in self._levels] for part in parts]
        return np.column_stack([np.stack([features(part) for part in parts]), np.array(steps)])


def kind_of(part: Part) -> str:
    """`stem`, `stage`, `head` or `raw`."""
    return part.group.rstrip("0123456789")


def features(part: Part) -> Floats:
    """Numbers that decide a part's time: logarithms of each layer's work and of the maps read and written."""
    found: list[float] = [np.log(part.resolution), float(part.is_residual), float(part.layers[0].scale)]
    first: list[Layer | None] = list(part.layers[:3])
    inputs: list[tuple[int, int] | None] = list(part.inputs)
    if kind_of(part) == "head" and len(inputs) == 1:
        # A deconvolution without a backbone map beside it: zeros stand for that one.
        first, inputs = [part.layers[0], None, part.layers[1]], [inputs[0], None]
    for layer in first:
        if layer is None:
            found += [0.0] * 4
            continue
        side = part.resolution / layer.scale
        if layer.kind != "norm":
            found.append(np.log(layer.macs(part.resolution, part.resolution, "exact")))
        found += [np.log(layer.out_channels * side**2), np.log(layer.out_channels), float(layer.kernel)]
    found += [np.log(one[0] * one[1] ** 2) if one else 0.0 for one in inputs]
    found += [np.log(one[0]) if one else 0.0 for one in inputs]
    # What a convolution library does depends on whether channels fill its vectors.
    found += [float(layer is not None and layer.out_channels % 16 == 0) for layer in first]
    return np.array(found, dtype=np.float64)
