"""From annotation files to a data set: what the CrowdPose and the COCO layout share."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import read_json
from ..pose.skeletons import Skeleton
from .annotations import parse
from .dataset import PoseDataset
from .dataset import check_size
from .dataset import mend_size
from .faults import Faults
from .options import LAYOUTS
from .records import Record
from .store import Store

_THREADS = 8


def assemble(
    name: str,
    skeleton: Skeleton,
    store: Store,
    annotation_files: Sequence[str],
    folders: Sequence[str],
    *,
    layout: str,
    on_error: str = "raise",
    verify: str = "headers",
) -> PoseDataset:
    """The data set of one or more annotation files (more than one are joined, such as train and val).

    Args:
        annotation_files: names in `store`, or paths of files elsewhere.
        folders: where images may lie in `store`.
        layout: "crowdpose" or "coco": the scoring protocol of joints that are neither's.
        on_error, verify: as in `DataOptions`.

    Raises:
        InputError: a file is missing or no JSON, a record is bad (`on_error="raise"`), or nothing is left.
    """
    faults = Faults(on_error)
    records: list[Record] = []
    for file in annotation_files:
        found = parse(_read(store, file), _describe(store, file), skeleton, faults)
        records = _join(records, found, _describe(store, file), faults)
    protocol = skeleton.name if skeleton.name in LAYOUTS else layout
    dataset = PoseDataset(name, skeleton, records, store, folders, protocol=protocol, on_error=on_error)
    if verify != "none":
        _check_headers(dataset, faults)
    if verify == "pixels":
        _check_pixels(dataset, faults)
    dataset.skipped = faults.skipped
    if not len(dataset):
        reason = (
            f"; the first of {len(faults.skipped)} skipped: {faults.skipped[0]}" if faults.skipped else ""
        )
        raise InputError(f"{name} holds no usable image{reason}")
    return dataset


def _read(store: Store, file: str) -> Any:
    if not store.exists(file):
        return read_json(file, "annotation file")
    try:
        return json.loads(store.read(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{store.describe(file)} is not valid JSON ({error}); is it truncated?") from None


def _describe(store: Store, file: str) -> str:
    return store.describe(file) if store.exists(file) else file


def _join(records: list[Record], more: list[Record], source: str, faults: Faults) -> list[Record]:
    """Both lists; annotation ids of `more` move out of the way of those already there."""
    known = {record.image_id for record in records}
    fresh = []
    for record in more:
        if record.image_id in known:
            faults.add(source, f"image {record.image_id}", "is in another of the joined splits too")
        else:
            fresh.append(record)
    taken = {int(key) for record in records for key in record.annotation_ids}
    if taken and any(int(key) in taken for record in fresh for key in record.annotation_ids):
        shift = 1 + max(taken) - min(int(key) for record in fresh for key in record.annotation_ids)
        fresh = [dataclasses.replace(r, annotation_ids=r.annotation_ids + np.int64(shift)) for r in fresh]
    return records + fresh


def _check_headers(dataset: PoseDataset, faults: Faults) -> None:
    """Mend swapped sizes; leave out images that are missing or no images."""
    kept: list[Record] = []
    for index, outcome in enumerate(_in_threads(lambda i: _header(dataset, i), range(len(dataset)))):
        record = dataset.records[index]
        if isinstance(outcome, InputError):
            faults.add(dataset.name, f"image {record.image_id}", str(outcome))
            continue
        if outcome:
            dataset.swapped.append(record.image_id)
        kept.append(mend_size(record) if outcome else record)
    dataset.records = tuple(kept)


def _check_pixels(dataset: PoseDataset, faults: Faults) -> None:
    """Leave out images that are not whole."""
    damaged = dataset.damaged()
    for index, reason in damaged.items():
        faults.add(dataset.name, f"image {dataset.records[index].image_id}", reason)
    dataset.records = tuple(r for i, r in enumerate(dataset.records) if i not in damaged)


def _header(dataset: PoseDataset, index: int) -> bool | InputError:
    """Whether image `index` has its sizes swapped, or what is wrong with it."""
    try:
        return check_size(dataset.records[index], *dataset.header_size(index), dataset.image_name(index))
    except InputError as error:
        return error


def _in_threads(function: Callable[[int], Any], items: Iterable[int]) -> list[Any]:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))
