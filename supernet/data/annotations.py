"""COCO-form keypoint annotations (CrowdPose's files are of this form), checked record by record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import numpy as np

from ..errors import InputError
from ..pose.skeletons import Skeleton
from .faults import Faults
from .records import FloatArray
from .records import Record
from .records import Region
from .regions import read_region

LARGEST_SIDE = 65535


@dataclass(frozen=True)
class Person:
    """One checked annotation."""

    annotation_id: int
    image_id: int
    keypoints: FloatArray
    box: FloatArray
    num_keypoints: int
    crowd: bool
    area: float
    region: Region | None


@dataclass
class _Image:
    """One checked image entry and the annotations that name it."""

    image_id: int
    file_name: str
    width: int
    height: int
    crowd_index: float
    people: list[Person] = field(default_factory=list)


class _Bad(ValueError):
    """A record is wrong; the text says how."""


def parse(document: Any, source: str, skeleton: Skeleton, faults: Faults) -> list[Record]:
    """The records of one annotation file, in the order of its images.

    An image is left out whole when one of its annotations is bad: a half-labelled picture would teach the
    network that a person in plain sight is background.

    Args:
        document: the decoded JSON.
        source: the file's name for messages.
        skeleton: gives the number of joints and, for "crowdpose", which ones count.
        faults: what to do with a bad record.

    Raises:
        InputError: the document as a whole is not of this form, or a record is bad and `faults` raises.
    """
    for key in ("images", "annotations", "categories"):
        if not isinstance(document, Mapping) or not isinstance(document.get(key), list):
            raise InputError(f"{source}: no list {key!r}; is this a COCO keypoint annotation file?")
    person, others = _categories(document["categories"], source, skeleton)
    images, dropped = _images(document["images"], source, faults)
    seen: set[int] = set()
    for position, entry in enumerate(document["annotations"]):
        if isinstance(entry, Mapping) and _is_one_of(entry.get("category_id"), others):
            continue
        name = _name("annotation", entry, position)
        image_id = entry.get("image_id") if isinstance(entry, Mapping) else None
        if _is_one_of(image_id, dropped):
            continue  # its image is listed already
        try:
            people = _person(entry, person, skeleton, seen, images)
        except _Bad as error:
            faults.add(source, name, str(error))
            if isinstance(image_id, int) and _is_one_of(image_id, images):
                del images[image_id]
                dropped.add(image_id)
                faults.add(source, f"image {image_id}", f"left out with its bad {name}")
            continue
        images[people.image_id].people.append(people)
    return [_record(image, skeleton) for image in images.values()]


def _categories(entries: list[Any], source: str, skeleton: Skeleton) -> tuple[int, set[int]]:
    """The id of the person category, and those of all others."""
    known = {e["id"]: e for e in entries if isinstance(e, Mapping) and _is_int(e.get("id"))}
    people = [e for e in known.values() if "keypoints" in e] or [
        e for e in known.values() if e.get("name") == "person"
    ]
    if len(people) != 1 or len(known) != len(entries):
        raise InputError(f"{source}: categories must have unique ids and one category with keypoints")
    names = people[0].get("keypoints")
    if names is not None and (not isinstance(names, list) or len(names) != skeleton.num_joints):
        count = len(names) if isinstance(names, list) else repr(names)
        raise InputError(
            f"{source}: {count} joints per person, {skeleton.num_joints} in skeleton {skeleton.name!r}; "
            "set data.skeleton to the layout of these annotations"
        )
    return people[0]["id"], {key for key in known if key != people[0]["id"]}


def _images(entries: list[Any], source: str, faults: Faults) -> tuple[dict[int, _Image], set[int]]:
    """The good images by id, and the ids of the bad ones."""
    images: dict[int, _Image] = {}
    dropped: set[int] = set()
    for position, entry in enumerate(entries):
        try:
            image = _image(entry)
            if image.image_id in images or image.image_id in dropped:
                raise _Bad("its id occurs twice")
            images[image.image_id] = image
        except _Bad as error:
            faults.add(source, _name("image", entry, position), str(error))
            if isinstance(entry, Mapping) and _is_int(entry.get("id")):
                dropped.add(entry["id"])
                if images.pop(entry["id"], None) is not None:  # of two with one id, neither can be trusted
                    faults.add(source, f"image {entry['id']}", "left out, for its id occurs twice")
    return images, dropped


def _image(entry: Any) -> _Image:
    if not isinstance(entry, Mapping):
        raise _Bad(f"is {entry!r:.40}, not an object")
    if not _is_int(entry.get("id")):
        raise _Bad(f"id is {entry.get('id')!r:.40}, not an integer")
    name = entry.get("file_name")
    if (
        not isinstance(name, str)
        or not name
        or "\x00" in name
        or name.startswith("/")
        or ".." in name.split("/")
    ):
        raise _Bad(f"file_name is {name!r:.60}, not a name inside the image folder")
    for side in ("width", "height"):
        if not _is_int(entry.get(side)) or not 1 <= entry[side] <= LARGEST_SIDE:
            raise _Bad(f"{side} is {entry.get(side)!r:.40}, not an integer in 1..{LARGEST_SIDE}")
    index = _number(entry["crowdIndex"], "crowdIndex") if "crowdIndex" in entry else math.nan
    if index < 0:
        raise _Bad(f"crowdIndex is {index}, below 0")
    return _Image(entry["id"], name, entry["width"], entry["height"], index)


def _person(
    entry: Any, category: int, skeleton: Skeleton, seen: set[int], images: Mapping[int, _Image]
) -> Person:
    if not isinstance(entry, Mapping):
        raise _Bad(f"is {entry!r:.40}, not an object")
    if not _is_int(entry.get("id")):
        raise _Bad(f"id is {entry.get('id')!r:.40}, not an integer")
    if entry["id"] in seen:
        raise _Bad("its id occurs twice")
    seen.add(entry["id"])
    if not _is_one_of(entry.get("image_id"), images):
        raise _Bad(f"image_id is {entry.get('image_id')!r:.40}, which is no image of this file")
    if not _is_int(entry.get("category_id")) or entry["category_id"] != category:
        raise _Bad(f"category_id is {entry.get('category_id')!r:.40}, which is no category of this file")
    if entry.get("iscrowd", 0) not in (0, 1):
        raise _Bad(f"iscrowd is {entry['iscrowd']!r:.40}, neither 0 nor 1")
    image = images[entry["image_id"]]
    crowd = bool(entry.get("iscrowd", 0))
    keypoints = _keypoints(entry.get("keypoints"), skeleton, image)
    box = _box(entry.get("bbox"), image)
    area = _number(entry["area"], "area") if "area" in entry else math.nan
    count = entry.get("num_keypoints", _count(keypoints, skeleton))
    if not _is_int(count) or not 0 <= count <= skeleton.num_joints:
        raise _Bad(f"num_keypoints is {count!r:.40}, not an integer in 0..{skeleton.num_joints}")
    region = None
    if crowd or not np.any(keypoints[:, 2] > 0):
        try:
            region = read_region(entry.get("segmentation"), box, image.width, image.height)
        except ValueError as error:
            raise _Bad(f"segmentation {error}") from None
    return Person(entry["id"], image.image_id, keypoints, box, count, crowd, area, region)


def _keypoints(value: Any, skeleton: Skeleton, image: _Image) -> FloatArray:
    if value is None:
        raise _Bad("has no keypoints; an instances file? use the person keypoints file")
    length = 3 * skeleton.num_joints
    if not isinstance(value, list) or len(value) != length:
        count = f"{len(value)} values" if isinstance(value, list) else f"{value!r:.40}"
        raise _Bad(
            f"keypoints: {count} where {skeleton.num_joints} joints need {length}; wrong data.skeleton?"
        )
    triples = _numbers(value, "keypoints").reshape(-1, 3)
    if not np.isin(triples[:, 2], (0, 1, 2)).all():
        raise _Bad("keypoints: a visibility is none of 0, 1, 2")
    # Files exist with width and height swapped, and labels a little outside, so the bound is a loose one.
    bound = float(max(image.width, image.height))
    labelled = triples[triples[:, 2] > 0, :2]
    if labelled.size and (labelled.min() < -bound or labelled.max() > 2 * bound):
        raise _Bad(f"keypoints: a joint lies far outside the image of {image.width}x{image.height}")
    return triples


def _box(value: Any, image: _Image) -> FloatArray:
    if not isinstance(value, list) or len(value) != 4:
        raise _Bad(f"bbox is {value!r:.60}, not [x, y, width, height]")
    box = _numbers(value, "bbox")
    bound = 2.0 * max(image.width, image.height)
    if box[2] < 0 or box[3] < 0 or np.abs(box).max() > bound:
        raise _Bad(f"bbox {value!r:.60} has a negative side or lies far outside the image")
    return box


def _count(keypoints: FloatArray, skeleton: Skeleton) -> int:
    """Labelled joints as the data set counts them: CrowdPose leaves head and neck out."""
    counted = keypoints[:12] if skeleton.name == "crowdpose" else keypoints
    return int((counted[:, 2] > 0).sum())


def _record(image: _Image, skeleton: Skeleton) -> Record:
    people = image.people
    return Record(
        image_id=image.image_id,
        file_name=image.file_name,
        width=image.width,
        height=image.height,
        crowd_index=image.crowd_index,
        keypoints=np.array([p.keypoints for p in people]).reshape(-1, skeleton.num_joints, 3),
        boxes=np.array([p.box for p in people], dtype=np.float64).reshape(-1, 4),
        num_keypoints=np.array([p.num_keypoints for p in people], dtype=np.int64),
        crowd=np.array([p.crowd for p in people], dtype=np.bool_),
        areas=np.array([p.area for p in people], dtype=np.float64),
        annotation_ids=np.array([p.annotation_id for p in people], dtype=np.int64),
        ignore=tuple(p.region for p in people if p.region is not None),
    )


def _name(kind: str, entry: Any, position: int) -> str:
    key = entry.get("id") if isinstance(entry, Mapping) else None
    return f"{kind} {key}" if _is_int(key) else f"{kind} at position {position}"


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_one_of(value: Any, known: Any) -> bool:
    return _is_int(value) and value in known


def _number(value: Any, what: str) -> float:
    return float(_numbers([value], what)[0])


def _numbers(values: list[Any], what: str) -> FloatArray:
    if any(type(value) is not int and type(value) is not float for value in values):
        wrong = next(value for value in values if type(value) is not int and type(value) is not float)
        raise _Bad(f"{what}: {wrong!r:.40} is not a number")
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        raise _Bad(f"{what}: a number is too large") from None
    if not np.isfinite(array).all():
        raise _Bad(f"{what}: a value is not finite")
    return array
