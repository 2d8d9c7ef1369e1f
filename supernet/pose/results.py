"""Ground truth and detections in COCO's JSON forms: reading, checking and writing them."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InputError, shown
from .people import People
from .skeletons import Skeleton

# Of a coordinate.
LARGEST_NUMBER = 2.0**53
Record = dict[str, Any]
GroundTruth = str | os.PathLike[str] | Mapping[str, Any]
Detections = str | os.PathLike[str] | Iterable[Mapping[str, Any]]


def to_coco_results(
    people: Iterable[People], image_ids: Iterable[int], category_id: int = 1
) -> list[dict[str, Any]]:
    """COCO keypoint results: one record per person with image_id, category_id, keypoints (3J floats), score.

    Everyone is written; the scorers look at the 20 best per image.

    Raises:
        InputError: different numbers of people lists and image ids.
    """
    all_people, ids = list(people), list(image_ids)
    if len(all_people) != len(ids):
        raise InputError(f"{len(all_people)} images of people but {len(ids)} image ids")
    return [
        {
            "image_id": int(image_id),
            "category_id": category_id,
            "keypoints": [round(float(value), 4) for value in pose.ravel()],
            "score": float(score),
        }
        for found, image_id in zip(all_people, ids, strict=True)
        for pose, score in zip(found.keypoints, found.scores, strict=True)
    ]


def read_ground_truth(source: GroundTruth, skeleton: Skeleton) -> Record:
    """A fresh copy of COCO-form annotations, checked for what scoring needs.

    Annotation ids are replaced by 1, 2, ...: scorers take an id of 0 for "unmatched", and repeated ids
    hide people.

    Raises:
        InputError: unreadable, or a record lacks a field or has the wrong number of joints.
    """
    name = "the ground truth"
    if isinstance(source, (str, os.PathLike)):
        from ..runs.files import read_json

        name = f"ground truth {source}"
        source = read_json(source, "ground truth")
    lists = ("images", "annotations")
    if not isinstance(source, Mapping) or not all(isinstance(source.get(key), list) for key in lists):
        raise InputError(f"{name} must be a COCO-form object with lists 'images' and 'annotations'")
    images = [_copy(image, "id", (), f"{name}: image {i}") for i, image in enumerate(source["images"])]
    for image in images:
        _check_numbers(image, ("crowdIndex",), f"{name}: image {image['id']}")
    given = source.get("categories") or [{"id": 1, "name": "person"}]
    if not isinstance(given, list):
        raise InputError(f"{name}: categories are {shown(given)}, not a list")
    categories = [_copy(category, "id", (), f"{name}: category {i}") for i, category in enumerate(given)]
    known = {image["id"] for image in images}
    if len(known) != len(images):
        raise InputError(f"{name} lists the same image id twice")
    records = []
    for i, given in enumerate(source["annotations"]):
        where = f"{name}: annotation {given.get('id', i) if isinstance(given, Mapping) else i}"
        record = _copy(given, "image_id", ("keypoints",), where)
        if record["image_id"] not in known:
            raise InputError(f"{where} belongs to image {record['image_id']}, which is not listed")
        _joint_values(record["keypoints"], skeleton, where)
        _check_numbers(record, ("area", "num_keypoints"), where)
        if "bbox" in record and not _plain_numbers(record["bbox"], 4):
            raise InputError(f"{where} has a bbox that is not x, y, width, height")
        record["id"] = i + 1
        if record.setdefault("iscrowd", 0) not in (0, 1):
            raise InputError(f"{where}: iscrowd is {shown(record['iscrowd'])}, not 0 or 1")
        record.setdefault("category_id", categories[0]["id"])
        records.append(record)
    listed = [category["id"] for category in categories]
    other = [record["category_id"] for record in records if record["category_id"] != listed[0]]
    if len(listed) != 1 or other:
        used = "" if not other else f" and uses {shown(other[0])}"
        raise InputError(f"{name} must have one category; it lists {listed}{used}")
    return {"images": images, "annotations": records, "categories": categories}


def read_detections(source: Detections, ground_truth: Record, skeleton: Skeleton) -> list[Record]:
    """A fresh copy of COCO keypoint results for the images of `ground_truth`; an empty list is fine.

    Raises:
        InputError: unreadable, an image that the ground truth does not list, or a wrong number of joints.
    """
    name = "the detections"
    if isinstance(source, (str, os.PathLike)):
        from ..runs.files import read_json

        name = f"detections {source}"
        source = read_json(source, "detections")
    if isinstance(source, (Mapping, str, bytes)) or not isinstance(source, Iterable):
        raise InputError(f"{name} must be a list of COCO keypoint results, not {type(source).__name__}")
    known = {image["id"] for image in ground_truth["images"]}
    category = ground_truth["categories"][0]["id"]
    records = []
    for i, given in enumerate(source):
        where = f"{name}: entry {i}"
        record = _copy(given, "image_id", ("keypoints", "score"), where)
        if record["image_id"] not in known:
            image = record["image_id"]
            raise InputError(f"{where} belongs to image {image}, which the ground truth does not list")
        record["keypoints"] = _joint_values(record["keypoints"], skeleton, where)
        record["score"] = _number(record["score"], f"{where}: score")
        if record.setdefault("category_id", category) != category:
            raise InputError(f"{where} has category {record['category_id']}; the ground truth has {category}")
        records.append(record)
    return records


def _copy(record: Any, identity: str, needed: Sequence[str], where: str) -> Record:
    if not isinstance(record, Mapping):
        raise InputError(f"{where} is no object")
    for key in (identity, *needed):
        if key not in record:
            raise InputError(f"{where} has no {key!r}")
    try:
        return {**record, identity: operator.index(record[identity])}
    except TypeError:
        raise InputError(f"{where}: {identity} is {record[identity]!r}, not a whole number") from None


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where} is {shown(value)}, not a number") from None
    if not np.isfinite(number):
        raise InputError(f"{where} is {number}; it must be finite")
    return number


def _joint_values(values: Any, skeleton: Skeleton, where: str) -> list[float]:
    expected = 3 * skeleton.num_joints
    if not isinstance(values, (list, tuple)) or len(values) != expected:
        count = len(values) if isinstance(values, (list, tuple)) else "no"
        raise InputError(f"{where} has {count} keypoint values; skeleton {skeleton.name!r} needs {expected}")
    if not _plain_numbers(values, expected):
        raise InputError(f"{where} has keypoints that are not finite numbers")
    return list(values)


def _plain_numbers(values: Any, count: int) -> bool:
    """Whether `values` is a list of `count` numbers that scorers take."""
    try:
        # Larger whole numbers are objects to numpy, and texts are texts; no scorer takes them.
        numbers = np.asarray(values)
    except ValueError:
        return False
    plain = numbers.shape == (count,) and numbers.dtype.kind in "biuf"
    return plain and bool((np.abs(numbers.astype(float)) < LARGEST_NUMBER).all())


def _check_numbers(record: Record, keys: Sequence[str], where: str) -> None:
    for key in keys:
        if key in record and not _plain_numbers([record[key]], 1):
            raise InputError(f"{where}: {key} is {shown(record[key])}, not a finite number")
