"""Memory of a network on a small device: its peak of live maps, by a plan over the wiring; its weights.

Maps are planned as inference runtimes for microcontrollers do it: batch norms and activations are part of their
convolution, a sum is written over one of its terms, a map is freed after its last use, and the input and the
outputs count. What a runtime adds (alignment, scratch buffers) is not in it: Arm's Vela needed 222 KiB where
this says 216.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import InputError
from .family import Architecture, Layer, layers, wire
from .space import Codes, SearchSpace

# Bytes of a weight or of an element of a map.
PRECISIONS = {"int8": 1, "float32": 4}
_CHUNK = 2048
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
    return PRECISIONS[precision]


def layer_flash(layer: Layer, precision: str) -> int:
    """Bytes of a layer's weights, and of its biases, which stay in 4 bytes each; batch norms are folded."""
    return layer.weights * bytes_of(precision) + 4 * layer.norm * layer.out_channels


def peak_memory(arch: Architecture, num_joints: int, precision: str, input_shape: tuple[int, int]) -> int:
    """Bytes of the maps that are live at once, at most, for an input of (height, width) pixels."""
    most = max(step.own + sum(step.held.values()) for step in plan(arch, num_joints))
    return round(most * input_shape[0] * input_shape[1]) * bytes_of(precision)


@dataclass
class _Map:
    """A value of the wiring: elements per pixel of the input, where it was made, when it is used last."""

    size: float
    part: str
    group: str
    last: int = -1


@dataclass(frozen=True)
class Step:
    """What is live while one layer or sum runs, in elements per pixel of the input.

    Attributes:
        part: the part of the network that runs.
        own: maps that this part makes or reads.
        held: maps that are kept for later parts, by the group that made them.
    """

    part: str
    own: float
    held: dict[str, float]


def plan(arch: Architecture, num_joints: int) -> list[Step]:
    """The execution of `arch`, layer by layer."""
    known = {layer.name: layer for layer in layers(arch, num_joints)}
    maps = [_Map(3.0, "images", "images")]
    runs: list[tuple[str, tuple[int, ...], int, bool]] = []

    def run(part: str, group: str, inputs: tuple[int, ...], size: float, in_place: bool) -> int:
        for number in inputs:
            maps[number].last = len(runs)
        maps.append(_Map(size, part, group))
        runs.append((part, inputs, len(maps) - 1, in_place))
        return len(maps) - 1

    def apply(name: str, x: int) -> int:
        layer = known[name]
        size = layer.out_channels / layer.scale**2
        return run(layer.part, layer.group, (x,), size, layer.kind == "norm")

    def add(x: int, y: int) -> int:
        part = runs[-1][0]
        return run(part, maps[runs[-1][2]].group, (x, y), maps[x].size, True)

    for number in wire(arch, apply, add, 0):
        maps[number].last = len(runs)
    return list(_steps(runs, maps))


def _steps(runs: list[tuple[str, tuple[int, ...], int, bool]], maps: list[_Map]) -> Iterator[Step]:
    reads: dict[str, set[int]] = {}
    for part, inputs, _, _ in runs:
        reads.setdefault(part, set()).update(inputs)
    for i, (part, inputs, output, in_place) in enumerate(runs):
        live = {number for number in range(output) if maps[number].last >= i}
        if not (in_place and any(maps[number].last == i for number in inputs)):
            live.add(output)
        own, held = 0.0, dict[str, float]()
        for number in live:
            one = maps[number]
            if one.part == part or number in reads[part]:
                own += one.size
            else:
                held[one.group] = held.get(one.group, 0.0) + one.size
        yield Step(part, own, held)


def _profile(arch: Architecture, num_joints: int) -> Profile:
    """By part, the peak of its own maps under `OWN` and what is held over it by group."""
    found: Profile = {}
    for step in plan(arch, num_joints):
        found[step.part, OWN] = max(found.get((step.part, OWN), 0.0), step.own)
        found |= {(step.part, group): size for group, size in step.held.items()}
    return found


@dataclass(frozen=True)
class _Term:
    """Values over the combinations of the choices of some genes, in mixed radix."""

    columns: tuple[int, ...]
    values: Floats


class MemoryTable:
    """Peak memory in bytes of many architectures at once, exact.

    While a part runs, its own maps depend on the few genes that shape it, and what is held for later parts
    is a sum of maps that depend on one or two genes each. Parts over which the same is held make up a
    section, of which the largest part counts.

    Raises:
        InputError: the networks of this family cannot be taken apart like that.
    """

    def __init__(self, space: SearchSpace, num_joints: int, precision: str = "int8") -> None:
        self._space, self._joints = space, num_joints
        self._known: dict[bytes, Profile] = {}
        self._bytes = bytes_of(precision)
        self._sides = np.array(space.resolution, dtype=np.float64)
        self._resolution = space.gene_index["resolution"]
        self._sections = self._tabulate()
        codes = space.sample_codes(np.random.default_rng(0), _CHECKED)
        expected = [
            peak_memory(arch, num_joints, precision, (arch.resolution, arch.resolution))
            for arch in space.decode(codes)
        ]
        if self.predict(codes).tolist() != expected:
            raise InputError(f"the memory of space {space.name!r} cannot be tabulated: its parts are not apart")

    def _at(self, code: Codes) -> Profile:
        code = self._space.canonical(code[None])[0]
        key = code.tobytes()
        if key not in self._known:
            self._known[key] = _profile(self._space.decode(code[None])[0], self._joints)
        return self._known[key]

    def _tabulate(self) -> list[tuple[list[_Term], list[_Term]]]:
        """Per section, the terms of its parts (the largest counts) and of what is held (they add up)."""
        space = self._space
        ends = space.encode([space.largest(), space.smallest()])
        shaped_by: dict[Key, set[int]] = {key: set() for end in ends for key in self._at(end)}
        for end in ends:
            here = self._at(end)
            for column, count in enumerate(space.num_choices):
                for choice in range(count) if column != self._resolution else ():
                    code = end.copy()
                    code[column] = choice
                    there = self._at(code)
                    for key in {*here, *there}:
                        if here.get(key) != there.get(key):
                            shaped_by.setdefault(key, set()).add(column)
        terms = {key: self._term(key, tuple(sorted(columns)), ends[0]) for key, columns in shaped_by.items()}
        sections: list[list[str]] = []
        for part in dict.fromkeys(part for part, _ in terms):
            if not sections or not self._alike(sections[-1][0], part):
                sections.append([])
            sections[-1].append(part)
        found = []
        for parts in sections:
            own: dict[tuple[int, ...], Floats] = {}
            for term in (terms[part, OWN] for part in parts):
                own[term.columns] = np.maximum(term.values, own.get(term.columns, 0.0))
            held = [term for (part, group), term in terms.items() if part == parts[0] and group != OWN]
            found.append(([_Term(columns, values) for columns, values in own.items()], held))
        return found

    def _term(self, key: Key, columns: tuple[int, ...], code: Codes) -> _Term:
        values, code = [], code.copy()
        for combination in itertools.product(*(range(self._space.num_choices[c]) for c in columns)):
            code[list(columns)] = combination
            values.append(self._at(code).get(key, 0.0))
        return _Term(columns, np.array(values))

    def _alike(self, first: str, part: str) -> bool:
        """Whether the same is held over two parts wherever the second one is there."""

        def held(profile: Profile, part: str) -> Profile:
            return {(OWN, group): size for (one, group), size in profile.items() if one == part and group}

        there = [profile for profile in self._known.values() if (part, OWN) in profile]
        return all((first, OWN) in one and held(one, first) == held(one, part) for one in there)

    def predict(self, codes: Codes) -> npt.NDArray[np.int64]:
        """(N,) bytes of (N, G) codes.

        Raises:
            InputError: the codes are not of this space.
        """
        self._space.check_codes(codes)
        found = np.zeros(len(codes), dtype=np.int64)
        for start in range(0, len(codes), _CHUNK):
            codes_gn = np.ascontiguousarray(codes[start : start + _CHUNK].astype(np.uint8).T)
            found[start : start + _CHUNK] = self._bytes * np.rint(self._peaks(codes_gn))
        return found

    def _peaks(self, codes_gn: npt.NDArray[np.uint8]) -> Floats:
        places: dict[tuple[int, ...], Any] = {(): np.zeros(codes_gn.shape[1], dtype=np.intp)}

        def gathered(term: _Term) -> Floats:
            if term.columns not in places:
                place = codes_gn[term.columns[0]].astype(np.intp)
                for column in term.columns[1:]:
                    place = place * self._space.num_choices[column] + codes_gn[column]
                places[term.columns] = place
            return np.asarray(term.values[places[term.columns]])

        peaks = np.zeros(codes_gn.shape[1])
        for parts, held in self._sections:
            most = np.maximum.reduce([gathered(term) for term in parts])
            for term in held:
                most += gathered(term)
            np.maximum(peaks, most, out=peaks)
        return peaks * self._sides[codes_gn[self._resolution]] ** 2
