"""MACs and parameters, and the table of any cost that is a sum or a maximum over a network's parts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .arch import Arch
from .errors import InputError, positive_int
from .genes import ALWAYS_ON
from .space import Codes, SearchSpace
from .topology import Layer, block_layers, head_layers, layers, output_layers, stem_layers

# Rows at a time, so that a chunk stays in the processor's cache.
_CHUNK = 2048

PartCost = Callable[[int, Iterable[Layer]], float]
Reduce = Literal["sum", "max"]


@dataclass(frozen=True)
class _Term:
    """Cost of one part: `values` is flat over the choices of `columns`, mixed-radix with `radix`."""

    columns: tuple[int, ...]
    radix: tuple[int, ...]
    values: npt.NDArray[Any]


@dataclass(frozen=True)
class _Stage:
    """The blocks of a stage from the second on, whose tables share their leading columns."""

    columns: tuple[int, ...]
    radix: tuple[int, ...]
    blocks: tuple[_Term, ...]


def reduced(reduce: Reduce, values: Iterable[float]) -> float:
    """The sum of `values`, or the largest of them; 0 of none."""
    return sum(values) if reduce == "sum" else max(values, default=0)


class PartTable:
    """The sum of a part-wise cost, or its maximum, over architectures given as codes.

    Parts are the stem, every block, every head step with its output of the refined path, and the outputs of
    the raw maps; `cost(resolution, layers of the part)` is evaluated once for each combination of the genes
    that shape it. It is 0 or more; 0 for a part that is absent.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_joints: int,
        cost: PartCost,
        dtype: npt.DTypeLike = np.float64,
        reduce: Reduce = "sum",
    ) -> None:
        positive_int(num_joints, "num_joints")
        self._space = space
        self._cost = cost
        self._dtype = dtype
        self._combine = np.add if reduce == "sum" else np.maximum
        stem = self._term(("resolution", "stem"), stem_layers)
        heads = [self._head(step, num_joints) for step in range(len(space.head))]
        raws = [self._raw_output(step, num_joints) for step in range(1, len(space.head))]
        firsts = [self._first_block(stage) for stage in range(len(space.stages))]
        self._fixed = [stem, *firsts, *heads, *raws]
        self._stages = [self._later_blocks(stage) for stage in range(len(space.stages))]

    def _term(self, names: tuple[str, ...], part: Callable[..., Iterable[Layer]]) -> _Term:
        # A switch that is always on has no gene.
        columns = [self._space.gene_index.get(name) for name in names]
        choices = [ALWAYS_ON if column is None else self._space.genes[column].choices for column in columns]
        combinations = itertools.product(*choices)
        values = [self._cost(resolution, tuple(part(*sizes))) for resolution, *sizes in combinations]
        found = [(column, len(c)) for column, c in zip(columns, choices, strict=True) if column is not None]
        return _Term(
            tuple(column for column, _ in found),
            tuple(size for _, size in found),
            np.array(values, dtype=self._dtype),
        )

    def _first_block(self, stage: int) -> _Term:
        before = f"stages.{stage - 1}.width" if stage else "stem"
        own = (f"stages.{stage}.width", f"stages.{stage}.expansion.0", f"stages.{stage}.kernel.0")
        return self._term(("resolution", before, *own), lambda v, w, e, k: block_layers(stage, 0, v, w, e, k))

    def _later_blocks(self, stage: int) -> _Stage:
        shared = ("resolution", f"stages.{stage}.width", f"stages.{stage}.depth")
        choices = self._space.stages[stage]

        def block(index: int) -> _Term:
            def part(width: int, depth: int, expansion: int, kernel: int) -> Iterable[Layer]:
                # A block beyond the depth is absent and costs nothing, whatever its genes say.
                return block_layers(stage, index, width, width, expansion, kernel) if index < depth else ()

            own = (f"stages.{stage}.expansion.{index}", f"stages.{stage}.kernel.{index}")
            term = self._term((*shared, *own), part)
            return _Term(term.columns[len(shared) :], term.radix[len(shared) :], term.values)

        columns = tuple(self._space.gene_index[name] for name in shared)
        radix = tuple(len(self._space.genes[column].choices) for column in columns)
        return _Stage(columns, radix, tuple(block(index) for index in range(1, choices.depth[-1])))

    def _head(self, step: int, num_joints: int) -> _Term:
        refined = f"head.{step - 1}" if step else "stages.3.width"
        return self._term(
            ("resolution", refined, f"stages.{2 - step}.width", f"head.{step}", f"fusion.{step}"),
            lambda refined, raw, width, fusion: head_layers(step, refined, raw, width, fusion, num_joints),
        )

    def _raw_output(self, step: int, num_joints: int) -> _Term:
        source = "stem" if step == 2 else "stages.0.width"
        return self._term(
            ("resolution", source, f"raw_outputs.{step - 1}"),
            lambda channels, on: output_layers(step, "raw", channels, num_joints) if on else (),
        )

    def predict(self, codes: Codes) -> npt.NDArray[Any]:
        """(N,) sums or maxima for (N, G) codes; the genes of absent blocks have no effect.

        Raises:
            InputError: the codes are not of this space.
        """
        self._space.check_codes(codes)
        totals = np.zeros(len(codes), dtype=self._dtype)
        for start in range(0, len(codes), _CHUNK):
            # Choices are few: one byte a code makes the transposition cheap.
            codes_gn = np.ascontiguousarray(codes[start : start + _CHUNK].astype(np.uint8).T)
            self._gather(codes_gn, totals[start : start + _CHUNK])
        return totals

    def _gather(self, codes_gn: npt.NDArray[np.uint8], total: npt.NDArray[Any]) -> None:
        for term in self._fixed:
            values = term.values[_index(codes_gn, term.columns, term.radix)]
            self._combine(total, values, out=total)
        for stage in self._stages:
            shared = _index(codes_gn, stage.columns, stage.radix)
            for block in stage.blocks:
                values = block.values[_index(codes_gn, block.columns, block.radix, shared)]
                self._combine(total, values, out=total)


def _index(
    codes_gn: npt.NDArray[np.uint8],
    columns: tuple[int, ...],
    radix: tuple[int, ...],
    index: npt.NDArray[np.intp] | None = None,
) -> npt.NDArray[np.intp]:
    """(N,) places in a flat table; `index` is that of columns before these."""
    for column, size in zip(columns, radix, strict=True):
        if index is None:
            index = codes_gn[column].astype(np.intp)
        elif size > 1:
            index = index * size + codes_gn[column]
    assert index is not None
    return index


Convention = Literal["exact", "litepose"]
CONVENTIONS: tuple[Convention, ...] = ("exact", "litepose")


def check_convention(convention: str) -> Convention:
    """`convention` if it is one of the two, else InputError."""
    for known in CONVENTIONS:
        if convention == known:
            return known
    raise InputError(f"convention {convention!r} is not known; choose one of {', '.join(CONVENTIONS)}")


def layer_params(layer: Layer) -> int:
    """Trainable parameters of one layer."""
    return layer_weights(layer) + 2 * layer.norm * layer.out_channels


def layer_weights(layer: Layer) -> int:
    """Weights of the layer's convolution (0 for a bare norm)."""
    if layer.kind == "norm":
        return 0
    return layer.in_channels // layer.groups * layer.out_channels * layer.kernel**2


def layer_macs(layer: Layer, height: int, width: int, convention: Convention) -> int:
    """MACs of one layer for an input image of `height` x `width` pixels (multiples of 16)."""
    positions = (height // layer.scale) * (width // layer.scale)
    weights = layer_weights(layer)
    if convention == "exact":
        # A transposed convolution multiplies each INPUT position by the whole kernel.
        return weights * (positions // layer.stride**2 if layer.kind == "deconv" else positions)
    elementwise = 2 * layer.norm + (layer.activation is not None)
    return weights * positions + elementwise * layer.out_channels * positions


def count_macs(
    arch: Arch,
    num_joints: int = 14,
    convention: str = "exact",
    input_shape: tuple[int, int] | None = None,
) -> int:
    """MACs of one forward pass of one image.

    Args:
        arch: the architecture.
        num_joints: J, the number of joints.
        convention: `exact` or `litepose`.
        input_shape: (height, width) of the padded input in pixels, multiples of 16; default the square input.

    Raises:
        InputError: unknown convention, or an input shape that the network cannot take.
    """
    checked = check_convention(convention)
    height, width = input_size(arch, input_shape)
    return sum(layer_macs(layer, height, width, checked) for layer in layers(arch, num_joints))


def input_size(arch: Arch, input_shape: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) in pixels of the input: `input_shape`, or the square of the architecture's resolution.

    Raises:
        InputError: the network cannot take that shape.
    """
    height, width = input_shape or (arch.resolution, arch.resolution)
    if height <= 0 or width <= 0 or height % 16 or width % 16:
        raise InputError(f"input shape {height}x{width} is not a positive multiple of 16 on both sides")
    return height, width


def count_params(arch: Arch, num_joints: int = 14) -> int:
    """Trainable parameters (convolution weights, batch-norm weights and biases)."""
    return sum(layer_params(layer) for layer in layers(arch, num_joints))


def padded_shape(resolution: int, image_height: int, image_width: int) -> tuple[int, int]:
    """(height, width) of an image's test-time input: short side `resolution`, long side a multiple of 64."""
    short, long = sorted((image_height, image_width))
    # Integers throughout: a float ratio rounds 512 * 640 / 480 up once in a while.
    padded = -(-resolution * long // (short * 64)) * 64
    return (resolution, padded) if image_height <= image_width else (padded, resolution)


class MacsTable:
    """MACs of many architectures at once, exact."""

    def __init__(self, space: SearchSpace, num_joints: int = 14, convention: str = "exact") -> None:
        checked = check_convention(convention)

        def cost(resolution: int, group: Iterable[Layer]) -> int:
            return sum(layer_macs(layer, resolution, resolution, checked) for layer in group)

        self._table = PartTable(space, num_joints, cost, dtype=np.int64)

    def predict(self, codes: Codes) -> npt.NDArray[np.int64]:
        """(N,) MACs of (N, G) codes."""
        return self._table.predict(codes)


class ParamsTable:
    """Trainable parameters of many architectures at once, exact."""

    def __init__(self, space: SearchSpace, num_joints: int = 14) -> None:
        def cost(resolution: int, group: Iterable[Layer]) -> int:
            return sum(layer_params(layer) for layer in group)

        self._table = PartTable(space, num_joints, cost, dtype=np.int64)

    def predict(self, codes: Codes) -> npt.NDArray[np.int64]:
        """(N,) parameters of (N, G) codes."""
        return self._table.predict(codes)
