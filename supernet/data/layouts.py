"""From annotation files to a data set: what the CrowdPose and the COCO layout share."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..errors import InputError
from ..pose.skeletons import Skeleton
from ..runs.files import read_json
from .annotations.parse import parse
from .annotations.records import Faults, Record
from .dataset import PoseDataset, check_size, mend_size
from .images.reading import cached
from .images.store import Store
from .options import LAYOUTS, DataOptions

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


# The first is the layout of this toolkit, the others are what people have on disk.
_ANNOTATION_FOLDERS = ("json", "annotations", "CrowdPose/annotations")
_IMAGE_FOLDERS = ("images",)
_JOINED = {"trainval": ("train", "val")}


def load_crowdpose(
    root: str | os.PathLike[str],
    split: str,
    *,
    skeleton: str | Skeleton = "crowdpose",
    on_error: str = "raise",
    verify: str = "headers",
) -> PoseDataset:
    """Open one split of a data set in the CrowdPose layout.

    Args:
        root: a folder or a .zip.
        split: "train", "val", "test", "trainval" (train and val joined), any other
            `crowdpose_{split}.json`, or the path of one annotation file.
        skeleton: a joint layout or its name.
        on_error, verify: as in `DataOptions`.

    Raises:
        InputError: a file is missing or broken; the message names it and what to do.
    """
    layout = skeleton if isinstance(skeleton, Skeleton) else Skeleton.load(skeleton)
    store = Store(root)
    if split.endswith(".json"):
        files = [split]
    else:
        files = [_annotation_file(store, part) for part in _JOINED.get(split, (split,))]
    name = f"crowdpose-{os.path.basename(split).removesuffix('.json')}"
    return assemble(
        name, layout, store, files, _IMAGE_FOLDERS, layout="crowdpose", on_error=on_error, verify=verify
    )


def _annotation_file(store: Store, split: str) -> str:
    names = [f"{folder}/crowdpose_{split}.json" for folder in _ANNOTATION_FOLDERS]
    names += [f"{folder}/{split}.json" for folder in _ANNOTATION_FOLDERS]
    for name in names:
        if store.exists(name):
            return name
    raise InputError(f"{store.describe(names[0])} does not exist; is {store.root} in the CrowdPose layout?")


_YEAR = "2017"
_SHORT = {"train": ("train" + _YEAR,), "val": ("val" + _YEAR,), "trainval": ("train" + _YEAR, "val" + _YEAR)}


def load_coco(
    root: str | os.PathLike[str],
    split: str,
    *,
    skeleton: str | Skeleton = "coco",
    on_error: str = "raise",
    verify: str = "headers",
) -> PoseDataset:
    """Open one split of a data set in the COCO layout, images without any person included (COCO scores them).

    Args:
        root: a folder or a .zip; COCO's own zips inside the folder are read as they are.
        split: "train2017", "val2017", ("train", "val" and "trainval" mean those), any other folder that has a
            `person_keypoints_{split}.json`, or the path of one annotation file.
        skeleton: a joint layout or its name.
        on_error, verify: as in `DataOptions`.

    Raises:
        InputError: a file is missing or broken; the message names it and what to do.
    """
    layout = skeleton if isinstance(skeleton, Skeleton) else Skeleton.load(skeleton)
    store = Store(root)
    name = os.path.basename(split).removesuffix(".json")
    if split.endswith(".json"):
        parts, files = [name.removeprefix("person_keypoints_")], [split]
    else:
        parts = [split] if store.exists(_file(split)) else list(_SHORT.get(split, (split,)))
        files = [_file(part) for part in parts]
        for file in files:
            if not store.exists(file):
                raise InputError(
                    f"{store.describe(file)} does not exist; is {store.root} in the COCO layout?"
                )
    folders = [folder for part in parts for folder in (part, f"images/{part}")] + ["images"]
    return assemble(
        f"coco-{name}", layout, store, files, folders, layout="coco", on_error=on_error, verify=verify
    )


def _file(split: str) -> str:
    return f"annotations/person_keypoints_{split}.json"


_LOG = logging.getLogger(__name__)
_LOADERS = {"crowdpose": load_crowdpose, "coco": load_coco}


def open_dataset(options: DataOptions, split: str) -> PoseDataset:
    """Open `split` of the data set that `options` describe.

    Args:
        split: a split's name such as `options.train_split`.

    Raises:
        InputError: the layout is unknown, or the files are missing or broken.
    """
    if options.layout not in _LOADERS:
        raise InputError(f"data.layout={options.layout!r} is not one of {', '.join(_LOADERS)}")
    load = _LOADERS[options.layout]
    dataset = load(
        options.root, split, skeleton=options.skeleton, on_error=options.on_error, verify=options.verify
    )
    if dataset.skipped:
        _LOG.warning(
            "%s: %d records left out (data.on_error=skip), the first: %s; supernet.audit lists all",
            dataset.name,
            len(dataset.skipped),
            dataset.skipped[0],
        )
    return cached(dataset) if options.cache == "memory" else dataset
