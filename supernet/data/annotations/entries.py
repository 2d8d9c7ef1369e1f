"""One image entry and one annotation of a COCO-form file, checked field by field."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...pose.people import joint_boxes
from ...pose.skeletons import Skeleton
from .records import FloatArray, Region, read_region

LARGEST_SIDE = 65535
# Least side of a box made of joints on one spot or line, a share of the picture's shorter side.
AROUND_SHARE = 0.1
_NUMBERS = frozenset((int, float))


class BadEntry(ValueError):
    """A record is wrong; the text says how."""


@dataclass(frozen=True)
class Joints:
    """How the joints of one annotation file become those of a skeleton.

    Attributes:
        skeleton: the joints wanted.
        counted: those that `num_keypoints` counts where an annotation does not say it.
        order: for each joint of the skeleton its place in the file.
    """

    skeleton: Skeleton
    counted: Sequence[int]
    order: Sequence[int]


@dataclass(frozen=True)
class Person:
    """One checked annotation; `widened` if its box was made of joints on one spot or line."""

    annotation_id: int
    image_id: int
    keypoints: FloatArray
    box: FloatArray
    num_keypoints: int
    crowd: bool
    area: float
    region: Region | None
    widened: bool


@dataclass
class ImageEntry:
    """One checked image entry and the annotations that name it."""

    image_id: int
    file_name: str
    width: int
    height: int
    crowd_index: float
    source: str = ""
    people: list[Person] = field(default_factory=list)


def image_entry(entry: Any, usual: Collection[str]) -> ImageEntry:
    """The checked image entry.

    Args:
        entry: what stands in the file.
        usual: optional keys that nearly all entries of the file have, so that a lack of one is a fault.

    Raises:
        BadEntry: it is wrong.
    """
    _check_form(entry, usual)
    name = entry.get("file_name")
    if not isinstance(name, str) or not name or "\x00" in name:
        raise BadEntry(f"file_name is {name!r:.60}, not a name inside the image folder")
    name = _path(name)
    for side in ("width", "height"):
        if not is_integer(entry.get(side)) or not 1 <= entry[side] <= LARGEST_SIDE:
            raise BadEntry(f"{side} is {entry.get(side)!r:.40}, not an integer in 1..{LARGEST_SIDE}")
    index = _number(entry["crowdIndex"], "crowdIndex") if "crowdIndex" in entry else math.nan
    if index < 0:
        raise BadEntry(f"crowdIndex is {index}, below 0")
    source = entry.get("source")
    source = source if isinstance(source, str) else ""
    return ImageEntry(entry["id"], name, entry["width"], entry["height"], index, source)


def _path(name: str) -> str:
    """The path that a file name tells, with `/` between its parts.

    Label Studio has `/data/local-files/?d=folder/1.jpg`; other tools write addresses, `1.jpg?token=...`.
    """
    path, _, query = name.partition("?")
    if query and "." in path.rpartition("/")[2]:
        name = path
    elif query.startswith("d="):
        name = query[2:]
    parts = name.replace("\\", "/").split("/")  # Label Studio on Windows
    parts = [part for part in parts if part != "."]
    if not parts or parts[-1] in ("", ".."):
        raise BadEntry(f"file_name is {name!r:.60}, not a name inside the image folder")
    return "/".join(parts)


def person_entry(
    entry: Any,
    category: int,
    joints: Joints,
    seen: set[int],
    images: Mapping[int, ImageEntry],
    usual: Collection[str],
) -> Person:
    """The checked annotation.

    Args:
        entry: what stands in the file.
        category: id of the person category.
        joints: what the file's joints are.
        seen: annotation ids so far; this one is added.
        images: the good images by id.
        usual: as for `image_entry`.

    Raises:
        BadEntry: it is wrong.
    """
    _check_form(entry, usual)
    if entry["id"] in seen:
        raise BadEntry("its id occurs twice")
    seen.add(entry["id"])
    if not is_one_of(entry.get("image_id"), images):
        raise BadEntry(f"image_id is {entry.get('image_id')!r:.40}, which is no image of this file")
    if not is_integer(entry.get("category_id")) or entry["category_id"] != category:
        raise BadEntry(f"category_id is {entry.get('category_id')!r:.40}, which is no category of this file")
    if entry.get("iscrowd", 0) not in (0, 1):
        raise BadEntry(f"iscrowd is {entry['iscrowd']!r:.40}, neither 0 nor 1")
    image = images[entry["image_id"]]
    crowd = bool(entry.get("iscrowd", 0))
    keypoints = _keypoints(entry.get("keypoints"), joints, image)
    labelled = keypoints[:, 2] > 0
    box = _box(entry["bbox"], image) if "bbox" in entry else None
    area = _number(entry["area"], "area") if "area" in entry else math.nan
    widened = False
    if box is None or box[2:].min() < 1:
        around = joint_boxes(keypoints[None])[0]
        box = around if box is None else box
        # Tools that make boxes of the joints do so of a single one, too.
        widened = bool(labelled.any() and around[2:].min() < 1 and np.abs(box - around).max() <= 1)
    if widened:
        box = _widened(around, AROUND_SHARE * min(image.width, image.height))
        area = area if area >= 1 else math.nan
    count = entry.get("num_keypoints", int(labelled[list(joints.counted)].sum()))
    if not is_integer(count) or not 0 <= count <= len(keypoints):
        raise BadEntry(f"num_keypoints is {count!r:.40}, not an integer in 0..{len(keypoints)}")
    region = None
    if crowd or not labelled.any():
        try:
            region = read_region(entry.get("segmentation"), box, image.width, image.height)
        except ValueError as error:
            raise BadEntry(f"segmentation {error}") from None
    return Person(entry["id"], image.image_id, keypoints, box, count, crowd, area, region, widened)


def _check_form(entry: Any, usual: Collection[str]) -> None:
    """Nothing, if `entry` is an object with an id and the `usual` keys."""
    if not isinstance(entry, Mapping):
        raise BadEntry(f"is {entry!r:.40}, not an object")
    for key in usual:
        if key not in entry:
            nobody = "; [] says that nothing of somebody is to be seen" if key == "keypoints" else ""
            raise BadEntry(f"has no {key}, unlike the others{nobody}")
    if not is_integer(entry.get("id")):
        raise BadEntry(f"id is {entry.get('id')!r:.40}, not an integer")


def _keypoints(value: Any, joints: Joints, image: ImageEntry) -> FloatArray:
    if value is None:
        raise BadEntry("has no keypoints; an instances file? use the person keypoints file")
    skeleton = joints.skeleton
    length = 3 * skeleton.num_joints
    if value == []:  # CVAT's way to say that nothing of somebody is to be seen: a region to ignore
        return np.zeros((skeleton.num_joints, 3))
    if not isinstance(value, list) or len(value) != length:
        count = f"{len(value)} values" if isinstance(value, list) else f"{value!r:.40}"
        raise BadEntry(
            f"keypoints: {count} where {skeleton.num_joints} joints need {length}; wrong data.skeleton?"
        )
    if None in value:  # which some tools write for what is not labelled
        value = [0 if v is None and not value[place - place % 3 + 2] else v for place, v in enumerate(value)]
    triples = _numbers(value, "keypoints").reshape(-1, 3)
    if not set(value[2::3]) <= {0, 1, 2}:
        raise BadEntry("keypoints: a visibility is none of 0, 1, 2")
    # Files exist with width and height swapped, and labels a little outside, so the bound is a loose one.
    bound = float(max(image.width, image.height))
    labelled = triples[triples[:, 2] > 0, :2]
    if labelled.size and (labelled.min() < -bound or labelled.max() > 2 * bound):
        raise BadEntry(f"keypoints: a joint lies far outside the image of {image.width}x{image.height}")
    return triples[list(joints.order)]


def _widened(box: FloatArray, least: float) -> FloatArray:
    """`box` with sides of at least `least`, about the same middle."""
    sides = np.maximum(box[2:], least)
    return np.concatenate([box[:2] + (box[2:] - sides) / 2, sides])


def _box(value: Any, image: ImageEntry) -> FloatArray:
    if not isinstance(value, list) or len(value) != 4:
        raise BadEntry(f"bbox is {value!r:.60}, not [x, y, width, height]")
    box = _numbers(value, "bbox")
    bound = 2.0 * max(image.width, image.height)
    if box[2] < 0 or box[3] < 0 or np.abs(box).max() > bound:
        raise BadEntry(f"bbox {value!r:.60} has a negative side or lies far outside the image")
    return box


def is_integer(value: Any) -> bool:
    """Whether `value` is an integer of at most 64 bits, and no boolean."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def is_one_of(value: Any, known: Collection[int]) -> bool:
    """Whether `value` is an integer out of `known`."""
    return is_integer(value) and value in known


def _number(value: Any, what: str) -> float:
    return float(_numbers([value], what)[0])


def _numbers(values: list[Any], what: str) -> FloatArray:
    if not set(map(type, values)) <= _NUMBERS:
        wrong = next(value for value in values if type(value) not in _NUMBERS)
        raise BadEntry(f"{what}: {wrong!r:.40} is not a number")
    try:
        finite = math.isfinite(sum(values))
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        raise BadEntry(f"{what}: a number is too large") from None
    if not finite:
        raise BadEntry(f"{what}: a value is not finite")
    return array
