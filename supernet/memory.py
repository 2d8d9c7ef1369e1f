"""Memory of a network on a small device: its peak of live maps, by a plan over the wiring; its weights.

Maps are planned as runtimes for microcontrollers do it: batch norms and activations are part of their
convolution, a sum is written over one of its terms, a map is freed after its last use, and the input and the
outputs count. What a runtime adds (alignment, scratch buffers) is not in it. Arm's Ethos-U keeps maps between
layers in bricks of 16 channels: its compiler Vela allocates within 10% of what this says for `ethos_u`, and
less where it is asked to run layers in stripes (experiments/deploy).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .cost import Columns, Gather, tabulate
from .errors import InputError
from .family import Architecture, Layer, family_of, layers, trace
from .space import Codes, SearchSpace

# Bytes of a weight or of an element of a map, and of how many channels the number in a map is a multiple.
PRECISIONS = {"int8": (1, 1), "float32": (4, 1), "ethos_u": (1, 16)}
# Random architectures on which a table is compared with the plan itself.
_CHECKED = 16

Floats = npt.NDArray[np.float64]
# A part's own peak, and what is held over it by the group that made it; per pixel of the input.
Key = tuple[str, str]
Profile = dict[Key, float]
OWN = ""


def bytes_of(precision: str) -> int:
    """Bytes of one element.

    Raises:
        InputError: a precision that is not known.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision {precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
    return PRECISIONS[precision][0]


def layer_flash(layer: Layer, precision: str) -> int:
    """Bytes of a layer's weights, and of its biases, which stay in 4 bytes each; batch norms are folded."""
    return layer.weights * bytes_of(precision) + 4 * layer.norm * layer.out_channels


def peak_memory(arch: Architecture, num_joints: int, precision: str, input_shape: tuple[int, int]) -> int:
    """Bytes of the maps that are live at once, at most, for an input of (height, width) pixels."""
    size, brick = bytes_of(precision), PRECISIONS[precision][1]
    most = max(step.own + sum(step.held.values()) for step in plan(arch, num_joints, brick))
    return round(most * input_shape[0] * input_shape[1]) * size


def memory_of(
    arch: Architecture, num_joints: int, precision: str, input_shape: tuple[int, int] | None = None
) -> tuple[int, int] | None:
    """Bytes of RAM and of flash at `input_shape`, or at its own; None for a family that gives no layers."""
    if family_of(arch).network is not None:
        return None
    flash = sum(layer_flash(layer, precision) for layer in layers(arch, num_joints))
    return peak_memory(arch, num_joints, precision, input_shape or arch.input_shape), flash


@dataclass
class _Map:
    """A value of the wiring: elements per pixel of the input, where it was made, when it is used last."""

    size: float
    part: str
    group: str
    last: int = -1


@dataclass(frozen=True)
class Live:
    """What is live while one layer or sum runs, in elements per pixel of the input.

    Attributes:
        part: the part of the network that runs.
        own: maps that this part makes or reads.
        held: maps that are kept for later parts, by the group that made them.
    """

    part: str
    own: float
    held: dict[str, float]


def plan(arch: Architecture, num_joints: int, brick: int = 1) -> Iterator[Live]:
    """The execution of `arch`, layer by layer; maps within it have a multiple of `brick` channels."""
    steps, outputs = trace(arch, num_joints)
    maps = [_Map(3.0, "images", "images")]
    reads: dict[str, set[int]] = {}
    for i, (layer, inputs) in enumerate(steps):
        for value in inputs:
            maps[value].last = i
        if layer is not None:
            multiple = 1 if i + 1 in outputs else brick
            channels = -(-layer.out_channels // multiple) * multiple
            maps.append(_Map(channels / layer.scale**2, layer.part, layer.group))
        else:
            maps.append(_Map(maps[inputs[0]].size, maps[-1].part, maps[-1].group))
        reads.setdefault(maps[-1].part, set()).update(inputs)
    for value in outputs:
        maps[value].last = len(steps)
    for i, (layer, inputs) in enumerate(steps):
        part = maps[i + 1].part
        live = {number for number in range(i + 1) if maps[number].last >= i}
        in_place = layer is None or layer.kind == "norm"
        if not (in_place and any(maps[number].last == i for number in inputs)):
            live.add(i + 1)
        own, held = 0.0, dict[str, float]()
        for number in live:
            one = maps[number]
            if one.part == part or number in reads[part]:
                own += one.size
            else:
                held[one.group] = held.get(one.group, 0.0) + one.size
        yield Live(part, own, held)


def _profile(arch: Architecture, num_joints: int, brick: int) -> Profile:
    """By part, the peak of its own maps under `OWN` and what is held over it by group."""
    found: Profile = {}
    for step in plan(arch, num_joints, brick):
        found[step.part, OWN] = max(found.get((step.part, OWN), 0.0), step.own)
        found |= {(step.part, group): size for group, size in step.held.items()}
    return found


class MemoryTable:
    """Peak memory in bytes of many architectures at once, exact.

    While a part runs, its own maps depend on the few genes that shape it, and what is held for later parts
    is a sum of maps that depend on one or two genes each. Parts over which the same is held make up a
    section, of which the largest part counts.

    Raises:
        InputError: the networks of this family cannot be taken apart like that.
    """

    def __init__(self, space: SearchSpace, num_joints: int, precision: str = "int8") -> None:
        self._bytes = bytes_of(precision)
        known: list[Profile] = []

        def at(code: Codes) -> Profile:
            known.append(_profile(space.decode(code[None])[0], num_joints, PRECISIONS[precision][1]))
            return known[-1]

        found = tabulate(space, at, 0.0)
        tables = {key: (columns, np.array(values)) for key, (columns, values) in found.items()}
        sections: list[list[str]] = []
        for part in dict.fromkeys(part for part, _ in tables):
            if not sections or not _alike(sections[-1][0], part, known):
                sections.append([])
            sections[-1].append(part)
        # Per section, the tables of its parts' own maps, one of parts that the same genes shape, and of what
        # is held.
        self._sections = []
        for parts in sections:
            own: dict[Columns, Floats] = {}
            for columns, values in (tables[part, OWN] for part in parts):
                own[columns] = np.maximum(values, own.get(columns, 0.0))
            held = [table for (part, group), table in tables.items() if part == parts[0] and group != OWN]
            self._sections.append((own, held))
        self._resolution = (space.gene_index["resolution"],)
        self._pixels = np.array(space.resolution, dtype=np.float64) ** 2
        self._gather = Gather(space, [columns for columns, _ in tables.values()])
        self._check(space, num_joints, precision)

    def _check(self, space: SearchSpace, num_joints: int, precision: str) -> None:
        codes = space.sample_codes(np.random.default_rng(0), _CHECKED)
        for arch, found in zip(space.decode(codes), self.predict(codes), strict=True):
            if found != peak_memory(arch, num_joints, precision, arch.input_shape):
                raise InputError(
                    f"space {space.name!r}: what is live in one part depends on too much to be tabulated"
                )

    def predict(self, codes: Codes) -> npt.NDArray[np.int64]:
        """(N,) bytes of (N, G) codes.

        Raises:
            InputError: the codes are not of this space.
        """
        found = np.zeros(len(codes), dtype=np.int64)
        for rows, places in self._gather.chunks(codes):
            pixels = self._pixels[places(self._resolution)]
            peaks = np.zeros(len(pixels))
            for own, held in self._sections:
                most = np.maximum.reduce([values[places(columns)] for columns, values in own.items()])
                for columns, values in held:
                    most += values[places(columns)]
                np.maximum(peaks, most, out=peaks)
            found[rows] = self._bytes * np.rint(peaks * pixels)
        return found


def _alike(first: str, part: str, known: Iterable[Profile]) -> bool:
    """Whether the same is held over two parts of all `known` networks that have the second one."""

    def held(profile: Profile, part: str) -> dict[str, float]:
        return {group: size for (one, group), size in profile.items() if one == part and group != OWN}

    there = [profile for profile in known if (part, OWN) in profile]
    return all((first, OWN) in one and held(one, first) == held(one, part) for one in there)
