"""Joint layouts: names, left/right pairs, OKS sigmas, edges and the order in which joints are grouped."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

from ..errors import InputError, message
from ..runs.reading import tensors_about

SCHEMA = 1


@dataclass(frozen=True)
class Skeleton:
    """A joint layout; immutable and hashable.

    Attributes:
        name: what to call the layout.
        joints: J unique joint names, in the order of the network's heatmaps.
        flip: for every joint the index of its mirror image (itself for joints on the middle line).
        sigmas: the per-joint OKS constants (> 0; COCO's `sigmas`, not their squares).
        edges: pairs of joint indices to draw as limbs.
        order: the joints in the order in which grouping visits them, the most reliable ones first.
        mirrors: whether `flip` is known to be right. Where neither the file nor the names tell the pairs,
            nothing must be mirrored.

    Raises:
        InputError: a field has the wrong length, an index out of range, or contradicts itself.
    """

    name: str
    joints: tuple[str, ...]
    flip: tuple[int, ...]
    sigmas: tuple[float, ...]
    edges: tuple[tuple[int, int], ...]
    order: tuple[int, ...]
    mirrors: bool = True

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_joints(self) -> int:
        """J, the number of joints."""
        return len(self.joints)

    @property
    def built_in(self) -> bool:
        """Whether it is one of the layouts that come with the package."""
        return _BUILT_IN.get(self.name) == self

    def side(self, joint: int) -> str:
        """`"left"`, `"right"` or `"middle"` for joint index `joint`: by its name, failing that its mirror."""
        mirror = self.flip[joint]
        if mirror == joint:
            return "middle"
        if (told := sides(self.joints)[joint]) is not None:
            return told[0]
        return "left" if joint < mirror else "right"

    def to_dict(self) -> dict[str, Any]:
        """The layout as plain lists, in the form that `from_dict` and the YAML files use."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "joints": list(self.joints),
            "flip": list(self.flip),
            "sigmas": list(self.sigmas),
            "edges": [list(edge) for edge in self.edges],
            "order": list(self.order),
            **({} if self.mirrors else {"mirrors": False}),
        }

    def identity(self) -> dict[str, Any]:
        """What results depend on: all but what the layout is called and which limbs are drawn."""
        return {key: value for key, value in self.to_dict().items() if key not in ("name", "edges")}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Skeleton:
        """The layout that `record` describes; `flip`, `edges` and `order` hold joint names or indices.

        `flip` may be left out when the names tell left from right (`sides`), `order` when the joints stand in
        grouping order, `edges` when nothing is to be drawn.

        Raises:
            InputError: a key is missing or unknown, or a field is wrong.
        """
        if not isinstance(record, Mapping):
            raise InputError(f"a skeleton is a mapping with joints and sigmas, not {type(record).__name__}")
        known = {"schema", "name", "joints", "flip", "sigmas", "edges", "order", "mirrors"}
        if unknown := sorted(set(map(str, record)) - known):
            raise InputError(f"skeleton has unknown keys {unknown}; known are {sorted(known)}")
        if record.get("schema", SCHEMA) != SCHEMA:
            raise InputError(f"skeleton has schema {record['schema']!r}; this version reads schema {SCHEMA}")
        for key in ("joints", "sigmas"):
            if key not in record:
                raise InputError(f"skeleton has no {key!r}; give one entry per joint")
        joints = tuple(_sequence(record, "joints"))
        index = {joint: i for i, joint in enumerate(joints) if isinstance(joint, str)}
        named = flip_by_name([str(joint) for joint in joints])
        alone = len(joints) == 1 and sides(tuple(map(str, joints))) == [None]  # its own mirror image
        flip = _sequence(record, "flip") if record.get("flip") is not None else named or range(len(joints))
        order = _sequence(record, "order") if record.get("order") is not None else range(len(joints))
        return cls(
            name=record.get("name", "custom"),
            joints=joints,
            flip=tuple(_joint(entry, index, "flip") for entry in flip),
            sigmas=tuple(_sequence(record, "sigmas")),
            edges=tuple(_edge(pair, index) for pair in _sequence(record, "edges")),
            order=tuple(_joint(entry, index, "order") for entry in order),
            mirrors=bool(record.get("mirrors", record.get("flip") or named or alone)),
        )

    @classmethod
    def load(cls, source: Skeleton | str | os.PathLike[str]) -> Skeleton:
        """The built-in layout of that name (`"crowdpose"`, `"coco"`), or that of a YAML file or a checkpoint.

        A `Skeleton` is returned as it is, so functions can accept either.

        Raises:
            InputError: no such name or file, or the file describes no valid layout.
        """
        if isinstance(source, Skeleton):
            return source
        if str(source) in _BUILT_IN:
            return _BUILT_IN[str(source)]
        record: Any
        if Path(source).suffix in (".yaml", ".yml"):
            from ..runs.files import read_yaml

            record = read_yaml(source, "skeleton file")
        elif Path(source).suffix == ".safetensors":
            record = tensors_about(source, "checkpoint").get("skeleton")
        else:
            names = " or ".join(sorted(_BUILT_IN))
            raise InputError(f"unknown skeleton {str(source)!r}; use {names}, or a path to a .yaml file")
        try:
            named = {"name": Path(source).stem, **record} if isinstance(record, Mapping) else record
            return cls.from_dict(named)
        except InputError as error:
            raise InputError(f"skeleton file {source}: {error}") from None


def _pairs(*parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts for side in ("left", "right"))


def _sequence(record: Mapping[str, Any], key: str) -> Sequence[Any]:
    value = record.get(key, ())
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InputError(f"skeleton field {key!r} must be a list, not {value!r}")
    return value


def _joint(entry: Any, index: Mapping[str, int], field: str) -> int:
    if isinstance(entry, str):
        if entry not in index:
            raise InputError(f"skeleton field {field!r} names {entry!r}, which is not among the joints")
        return index[entry]
    if isinstance(entry, bool) or not isinstance(entry, int):
        raise InputError(f"skeleton field {field!r} holds {entry!r}; use joint names or indices")
    return entry


def _edge(pair: Any, index: Mapping[str, int]) -> tuple[int, int]:
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise InputError(f"skeleton field 'edges' holds {pair!r}; each edge is a pair of joints")
    return _joint(pair[0], index, "edges"), _joint(pair[1], index, "edges")


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_a-zA-Z]+")
_GLUED = re.compile(r"(?:(left|right)(.+)|(.+)(left|right))")
_LETTERS = {"l": "left", "r": "right"}


def plain_name(joint: str) -> str:
    """A joint's name without capitals and separators, for comparison: `Left Shoulder` is `left_shoulder`."""
    return "_".join(word.lower() for word in _WORD.findall(joint)) or joint


@lru_cache(maxsize=64)
def sides(joints: tuple[str, ...]) -> list[tuple[str, str] | None]:
    """For each joint the side that its name tells and the rest of the name; None for the middle.

    Left and right count in any capitals, as a word (`Left Hip`, `hipLeft`), a prefix or a suffix (`lefthip`),
    and so do the words L and R. Of the names that tell no side like that, the first letters l and r of those
    that come in pairs do (`lhip`, `rhip`).
    """
    names = [plain_name(joint).split("_") for joint in joints]
    words = {"left": "left", "right": "right"}
    found = [_by_word(name, words) or _by_affix(name) or _by_word(name, _LETTERS) for name in names]
    plain = ["_".join(name) for name in names]
    rest = {name for name, side in zip(plain, found, strict=True) if not side}

    def by_letter(name: str) -> tuple[str, str] | None:
        partner = name[:1].translate(str.maketrans("lr", "rl")) + name[1:]
        return (_LETTERS[name[0]], name[1:]) if name[:1] in _LETTERS and partner in rest else None

    return [side or by_letter(name) for name, side in zip(plain, found, strict=True)]


def _by_word(words: list[str], known: Mapping[str, str]) -> tuple[str, str] | None:
    places = [i for i, word in enumerate(words) if word in known]
    if len(places) != 1:
        return None
    return known[words[places[0]]], "_".join(words[: places[0]] + words[places[0] + 1 :])


def _by_affix(words: list[str]) -> tuple[str, str] | None:
    match = _GLUED.fullmatch("".join(words))
    if match is None:
        return None
    return (match[1], match[2]) if match[1] else (match[4], match[3])


def flip_by_name(joints: Sequence[str]) -> list[int] | None:
    """The mirror image of each joint by the names; None if they tell no pair, or only a part of the pairs."""
    told = sides(tuple(joints))
    index = {entry: i for i, entry in enumerate(told) if entry is not None}
    other = {"left": "right", "right": "left"}
    flip = list(range(len(joints)))
    for (side, rest), joint in index.items():
        flip[joint] = index.get((other[side], rest), -1)
    unpaired = -1 in flip or len(index) < sum(entry is not None for entry in told)
    return flip if index and not unpaired and not unclear_sides(joints) else None


# Words of two sides that neither a letter nor a number gives away.
_SIDE_WORDS = (
    {"gauche", "droite"}, {"gauche", "droit"}, {"izquierda", "derecha"}, {"izquierdo", "derecho"},
    {"izq", "der"}, {"sinistra", "destra"}, {"sinistro", "destro"}, {"sx", "dx"},
    {"near", "far"}, {"port", "starboard"},
)  # fmt: skip


def unclear_sides(joints: Sequence[str]) -> tuple[str, str] | None:
    """Two joints whose names tell no side (`sides`), yet differ as two sides may: `hip_lt`, `hip_rt`."""
    told = sides(tuple(joints))
    middle = [
        (joint, plain_name(joint).split("_")) for joint, side in zip(joints, told, strict=True) if not side
    ]
    return next(((a, b) for (a, one), (b, two) in combinations(middle, 2) if _like_sides(one, two)), None)


def _like_sides(one: Sequence[str], two: Sequence[str]) -> bool:
    differ = [pair for pair in zip(one, two, strict=False) if pair[0] != pair[1]]
    if len(one) != len(two) or len(differ) != 1:
        return False
    a, b = differ[0]
    swapped = len(a) == len(b) and [{x, y} for x, y in zip(a, b, strict=True) if x != y] == [{"l", "r"}]
    initials = len(one) > 1 and {a[0], b[0]} == {"l", "r"}
    counted = (a.isdecimal() and b.isdecimal()) or len(a) == len(b) == 1
    return swapped or initials or counted or {a, b} in _SIDE_WORDS


def _check(skeleton: Skeleton) -> None:
    count = len(skeleton.joints)
    where = f"skeleton {skeleton.name!r}"
    if not isinstance(skeleton.name, str) or not skeleton.name:
        raise InputError(f"{where}: the name must be a non-empty string")
    if count == 0 or not all(isinstance(joint, str) and joint for joint in skeleton.joints):
        raise InputError(f"{where}: joints must be one or more non-empty names, got {list(skeleton.joints)}")
    for name in (skeleton.name, *skeleton.joints):
        if name != message(name):
            raise InputError(f"{where}: name {name!r} holds control characters, or is too long to be shown")
    if len(set(skeleton.joints)) != count:
        twice = sorted({joint for joint in skeleton.joints if skeleton.joints.count(joint) > 1})
        raise InputError(f"{where}: joint names must be unique; {twice} stand more than once")
    for field in ("flip", "sigmas", "order"):
        if (entries := len(getattr(skeleton, field))) != count:
            raise InputError(f"{where}: {field} has {entries} entries for {count} joints")
    for field, used in (
        ("flip", skeleton.flip),
        ("order", skeleton.order),
        ("edges", [end for edge in skeleton.edges for end in edge]),
    ):
        if wrong := [joint for joint in used if not 0 <= joint < count]:
            raise InputError(f"{where}: {field} holds joint {wrong[0]}; indices run from 0 to {count - 1}")
    if lost := [i for i in range(count) if skeleton.flip[skeleton.flip[i]] != i]:
        raise InputError(f"{where}: flip must swap pairs; the mirror of joint {lost[0]} does not lead back")
    if len(set(skeleton.order)) != count:
        raise InputError(f"{where}: order must hold every joint once")
    if loops := [edge for edge in skeleton.edges if edge[0] == edge[1]]:
        raise InputError(f"{where}: edge {list(loops[0])} joins a joint to itself")
    for sigma in skeleton.sigmas:
        number = isinstance(sigma, (int, float)) and not isinstance(sigma, bool)
        if not number or not math.isfinite(sigma) or sigma <= 0:
            raise InputError(f"{where}: sigmas must be positive numbers, got {sigma!r}")


# Li et al., "CrowdPose" (CVPR 2019), as its files and scorer have them. Grouping order: head and neck, then
# shoulders and hips, then the limbs, so that the least occluded and least confused joints found each person.
_CROWDPOSE = Skeleton(
    name="crowdpose",
    joints=(*_pairs("shoulder", "elbow", "wrist", "hip", "knee", "ankle"), "head", "neck"),
    flip=(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 12, 13),
    sigmas=(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089, 0.079, 0.079),
    edges=(
        (12, 13), (13, 0), (13, 1), (0, 1), (0, 6), (1, 7), (6, 7), (0, 2), (2, 4), (1, 3), (3, 5),
        (6, 8), (8, 10), (7, 9), (9, 11),
    ),
    order=(12, 13, 0, 1, 6, 7, 2, 3, 4, 5, 8, 9, 10, 11),
)  # fmt: skip

# Lin et al., "Microsoft COCO" (ECCV 2014), sigmas as in its scorer. Grouping: face, shoulders, hips, limbs.
_COCO = Skeleton(
    name="coco",
    joints=("nose", *_pairs("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    flip=(0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15),
    sigmas=(
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107,
        0.087, 0.087, 0.089, 0.089,
    ),
    edges=(
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
        (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    order=(0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16),
)  # fmt: skip

_BUILT_IN = {skeleton.name: skeleton for skeleton in (_CROWDPOSE, _COCO)}
