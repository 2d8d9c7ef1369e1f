"""MACs and parameters, and the table of any cost that is a sum or a maximum over a network's parts."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from .errors import InputError, positive_int
from .family import (
    CONVENTIONS,
    LARGEST_SIDE,
    STEP,
    Architecture,
    Convention,
    Layer,
    NetworkCost,
    family_of,
    layers,
    step_of,
)
from .heads.contract import with_each_head
from .space import Codes, SearchSpace

if TYPE_CHECKING:
    from .options import EvaluationOptions

# (height, width) of an image whose shape nobody said: the mean shape of CrowdPose's and COCO's.
FOUR_TO_THREE = (480, 640)
# Rows at a time, so that a chunk stays in the processor's cache.
_CHUNK = 2048
# Random architectures on which tables are compared with the layers themselves.
_CHECKED = 8

Part = tuple[Layer, ...]
Column = int
Columns = tuple[Column, ...]
Places = npt.NDArray[np.intp]
K = TypeVar("K")
P = TypeVar("P")
V = TypeVar("V")
Split = Callable[[Architecture, int], Mapping[str, P]]
Reduce = Literal["sum", "max"]


@dataclass(frozen=True)
class PartChoices(Generic[P]):
    """One part of a space's networks and the genes that shape it.

    Attributes:
        columns: of those genes, ascending, without the resolution's.
        parts: per combination of their choices, in mixed radix, the part; None where it is absent.
    """

    columns: Columns
    parts: tuple[P | None, ...]


def split_parts(arch: Architecture, num_joints: int) -> dict[str, Part]:
    """Layers by the part that they belong to (see `Layer.part`), in their order."""
    parts: dict[str, list[Layer]] = {}
    for layer in layers(arch, num_joints):
        parts.setdefault(layer.part or layer.name, []).append(layer)
    return {name: tuple(some) for name, some in parts.items()}


def tabulate(
    space: SearchSpace, at: Callable[[Codes], Mapping[K, V]], absent: V
) -> dict[K, tuple[Columns, tuple[V, ...]]]:
    """What `at` gives under each key, per combination of the choices of the genes that shape it.

    Genes are found by trying them one by one, from the largest and the smallest architecture; the
    resolution's is left out. Combinations are in mixed radix, genes ascending.
    """
    known: dict[bytes, Mapping[K, V]] = {}

    def found_at(code: Codes) -> Mapping[K, V]:
        code = space.canonical(code[None])[0]
        if code.tobytes() not in known:
            known[code.tobytes()] = at(code)
        return known[code.tobytes()]

    ends = [code for end in (space.largest(), space.smallest()) for code in with_each_head(space, end)]
    shaped_by: dict[K, set[Column]] = {key: set() for end in ends for key in found_at(end)}
    for end in ends:
        here = found_at(end)
        for column, code in space.neighbours(end):
            there = found_at(code)
            for key in {*here, *there}:
                if here.get(key) != there.get(key):
                    shaped_by.setdefault(key, set()).add(column)
    shaping = {
        key: tuple(sorted(found - {space.gene_index["resolution"]})) for key, found in shaped_by.items()
    }
    return _filled(space, found_at, shaping, absent)


def _filled(
    space: SearchSpace, at: Callable[[Codes], Mapping[K, V]], shaping: Mapping[K, Columns], absent: V
) -> dict[K, tuple[Columns, tuple[V, ...]]]:
    """The tables of `tabulate` over the genes that are known to shape each.

    An architecture tells one entry of every table, so each is chosen to tell as many new ones as it can.
    """
    radix = space.num_choices
    columns_of = {key: np.array(columns, dtype=np.intp) for key, columns in shaping.items()}
    entries = {
        key: np.array(list(itertools.product(*map(range, radix[columns]))), dtype=np.int64)
        for key, columns in columns_of.items()
    }
    missing = {key: np.ones(len(rows), dtype=bool) for key, rows in entries.items()}
    values = {key: [absent] * len(rows) for key, rows in entries.items()}
    # The largest tables first: they decide how many architectures it takes.
    open_keys = sorted(entries, key=lambda key: -len(entries[key]))
    while open_keys:
        code, free = radix - 1, np.ones(len(radix), dtype=bool)
        told: dict[K, int] = {}
        for key in open_keys:
            columns = columns_of[key]
            usable = missing[key] & ((entries[key] == code[columns]) | free[columns]).all(axis=1)
            first = int(usable.argmax())
            if usable[first]:
                code[columns] = entries[key][first]
                free[columns] = False
                told[key] = first
        found = at(code)
        for key, place in told.items():
            values[key][place] = found.get(key, absent)
            missing[key][place] = False
        open_keys = [key for key in open_keys if missing[key].any()]
    return {key: (shaping[key], tuple(found)) for key, found in values.items()}


@lru_cache(maxsize=8)
def part_choices(space: SearchSpace, num_joints: int, split: Split[P]) -> tuple[PartChoices[P], ...]:
    """The parts of all networks of `space`; `split(arch, num_joints)` gives those of one by name.

    Raises:
        InputError: a part depends on genes in a way that one gene at a time does not show.
    """

    def parts_of(code: Codes) -> Mapping[str, P | None]:
        return split(space.decode(code[None])[0], num_joints)

    found = {name: PartChoices(*table) for name, table in tabulate(space, parts_of, None).items()}
    codes = space.sample_codes(np.random.default_rng(0), _CHECKED)
    ((_, places),) = Gather(space, [choices.columns for choices in found.values()]).chunks(codes)
    for row, arch in enumerate(space.decode(codes)):
        parts = dict(split(arch, num_joints))
        for name, choices in found.items():
            if parts.pop(name, None) != choices.parts[places(choices.columns)[row]]:
                raise InputError(
                    f"family {space.family}: part {name!r} of its layers depends on several genes at once "
                    "where none of them alone changes it; give its layers names and parts that do not"
                )
        if parts:
            raise InputError(
                f"family {space.family}: part {next(iter(parts))!r} is neither in the largest nor the "
                "smallest network"
            )
    return tuple(found.values())


def reduced(reduce: Reduce, values: Iterable[float]) -> float:
    """The sum of `values`, or the largest of them; 0 of none."""
    return sum(values) if reduce == "sum" else max(values, default=0)


class PartTable:
    """The sum of a part-wise cost, or its maximum, over architectures given as codes.

    `cost(resolution, part)`, 0 or more, is evaluated once for each combination of the genes that shape a
    part. Parts are what `split` makes of a network, such as their layers.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_joints: int,
        split: Split[P],
        cost: Callable[[int, P], float],
        dtype: npt.DTypeLike = np.float64,
        reduce: Reduce = "sum",
    ) -> None:
        self._space = space
        self._dtype = dtype
        self._combine = np.add if reduce == "sum" else np.maximum
        first = space.gene_index["resolution"]
        self._terms: list[tuple[Columns, npt.NDArray[Any]]] = []
        for choices in part_choices(space, positive_int(num_joints, "num_joints"), split):
            sides = itertools.product(space.resolution, choices.parts)
            values = [0 if part is None else cost(side, part) for side, part in sides]
            self._terms.append(((first, *choices.columns), np.array(values, dtype=dtype)))
        self._gather = Gather(space, [columns for columns, _ in self._terms])

    def predict(self, codes: Codes) -> npt.NDArray[Any]:
        """(N,) sums or maxima for (N, G) codes; the genes of absent blocks have no effect.

        Raises:
            InputError: the codes are not of this space.
        """
        totals = np.zeros(len(codes), dtype=self._dtype)
        for rows, places in self._gather.chunks(codes):
            total = totals[rows]
            for columns, values in self._terms:
                self._combine(total, values[places(columns)], out=total)
        return totals


class Gather:
    """Places of many architectures in flat tables over the choices of some genes.

    Args:
        space: of the codes.
        wanted: the columns of each table. Blocks of a stage share its genes: their places start alike.
    """

    def __init__(self, space: SearchSpace, wanted: Iterable[Columns]) -> None:
        self._space = space
        starts = [columns[:i] for columns in wanted for i in range(2, len(columns) + 1)]
        self._shared = {start for start in starts if starts.count(start) > 1}

    def chunks(self, codes: Codes) -> Iterator[tuple[slice, Callable[[Columns], Places]]]:
        """Some rows of (N, G) codes after the other, with what gives their places in a table by its columns.

        Raises:
            InputError: the codes are not of this space.
        """
        self._space.check_codes(codes)
        for start in range(0, len(codes), _CHUNK):
            rows = slice(start, start + _CHUNK)
            # Choices are few: one byte a code makes the transposition cheap.
            codes_gn = np.ascontiguousarray(codes[rows].astype(np.uint8).T)
            yield rows, partial(self._places, codes_gn, {})

    def _places(
        self, codes_gn: npt.NDArray[np.uint8], known: dict[Columns, Places], columns: Columns
    ) -> Places:
        if not columns:
            return np.zeros(codes_gn.shape[1], dtype=np.intp)
        done = next((i for i in range(len(columns), 1, -1) if columns[:i] in known), 1)
        place = known[columns[:done]] if done > 1 else codes_gn[columns[0]].astype(np.intp)
        for i in range(done, len(columns)):
            place = place * self._space.num_choices[columns[i]] + codes_gn[columns[i]]
            if columns[: i + 1] in self._shared:
                known[columns[: i + 1]] = place
        return place


def check_convention(convention: str) -> Convention:
    """`convention` if it is one of the two, else InputError."""
    for known in CONVENTIONS:
        if convention == known:
            return known
    raise InputError(f"convention {convention!r} is not known; choose one of {', '.join(CONVENTIONS)}")


@lru_cache(maxsize=1024)
def network_cost(
    arch: Architecture, num_joints: int = 14, input_shape: tuple[int, int] | None = None
) -> NetworkCost:
    """What one image costs.

    Args:
        arch: the architecture, of any family.
        num_joints: J, the number of joints.
        input_shape: (height, width) of the padded input in pixels, multiples of the family's step; default
            the architecture's own.

    Raises:
        InputError: an input shape that the network cannot take.
    """
    return family_of(arch).cost(arch, positive_int(num_joints, "num_joints"), *input_size(arch, input_shape))


def count_macs(
    arch: Architecture,
    num_joints: int = 14,
    convention: str = "exact",
    input_shape: tuple[int, int] | None = None,
) -> int:
    """MACs of one forward pass of one image by `convention` (`exact` or `litepose`); see `network_cost`."""
    cost = network_cost(arch, num_joints, None if input_shape is None else tuple(input_shape))
    return cost.exact if check_convention(convention) == "exact" else cost.litepose


def count_params(arch: Architecture, num_joints: int = 14) -> int:
    """Trainable parameters (convolution weights and biases, batch-norm weights and biases)."""
    return network_cost(arch, num_joints).params


def input_size(arch: Architecture, input_shape: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) in pixels of the input: `input_shape`, or the architecture's own.

    Raises:
        InputError: the network cannot take that shape.
    """
    return check_input_shape(input_shape or arch.input_shape, step_of(arch))


def check_input_shape(shape: Sequence[int], step: int = STEP) -> tuple[int, int]:
    """`shape` (height, width) if it is a multiple of `step` on both sides.

    Raises:
        InputError: it is not, or it is larger than 4096 on a side.
    """
    if len(shape) != 2 or any(not 0 < side <= LARGEST_SIDE or side % step for side in shape):
        raise InputError(
            f"input_shape={list(shape)} must be two multiples of {step} up to {LARGEST_SIDE}: height, width"
        )
    return shape[0], shape[1]


@dataclass(frozen=True)
class Passes:
    """What a scored test runs for an image, on average over the images that it scores.

    Attributes:
        flip: whether the mirrored image is run too.
        scales: of the test, multiples of the resolution.
        square: whether images are letterboxed into a square.
        images: how many images have a (height, width) in pixels; by default all are 4:3.
    """

    flip: bool = True
    scales: tuple[float, ...] = (1.0,)
    square: bool = False
    images: tuple[tuple[tuple[int, int], int], ...] = ((FOUR_TO_THREE, 1),)

    @classmethod
    def of(cls, options: EvaluationOptions, sizes: Iterable[tuple[int, int]]) -> Passes:
        """Those of a test by `options` on images of these (height, width)."""
        images = tuple(sorted(Counter(sizes).items()))
        return cls(options.flip, tuple(options.scales), options.square, images)

    def shapes(self, resolution: int) -> dict[tuple[int, int], float]:
        """By the (height, width) of an input, how many an image has."""
        from .pose.preprocess import padded_shape

        total = sum(count for _, count in self.images)
        found: dict[tuple[int, int], float] = {}
        for ((height, width), count), scale in itertools.product(self.images, self.scales):
            shape = padded_shape(resolution, height, width, scale, self.square)
            found[shape] = found.get(shape, 0.0) + (1 + self.flip) * count / total
        return found

    def told(self) -> str:
        """In a few words: `flip, 4:3`."""
        scales = "" if self.scales == (1.0,) else f", scales {', '.join(f'{s:g}' for s in self.scales)}"
        (height, width), _ = self.images[0]
        divisor = math.gcd(height, width)
        ratio = f"{width // divisor}:{height // divisor}" if len(self.images) == 1 else "shapes of the data"
        return f"{'flip' if self.flip else 'no flip'}{scales}, {'square' if self.square else ratio}"


def scored_macs(
    arch: Architecture, passes: Passes = Passes(), num_joints: int = 14, convention: str = "exact"
) -> float:
    """Mean multiply-accumulates of all that a test runs for one image; see `count_macs`."""
    return sum(
        number * count_macs(arch, num_joints, convention, shape)
        for shape, number in passes.shapes(arch.resolution).items()
    )


class MacsTable(PartTable):
    """MACs of many architectures at once, exact: `predict` gives (N,) int64."""

    def __init__(self, space: SearchSpace, num_joints: int = 14, convention: str = "exact") -> None:
        checked = check_convention(convention)

        def cost(resolution: int, part: Part) -> int:
            return sum(layer.macs(resolution, resolution, checked) for layer in part)

        super().__init__(space, num_joints, split_parts, cost, np.int64)


class ParamsTable(PartTable):
    """Trainable parameters of many architectures at once, exact: `predict` gives (N,) int64."""

    def __init__(self, space: SearchSpace, num_joints: int = 14) -> None:
        def cost(resolution: int, part: Part) -> int:
            return sum(layer.params for layer in part)

        super().__init__(space, num_joints, split_parts, cost, np.int64)
