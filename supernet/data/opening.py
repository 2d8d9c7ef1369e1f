"""From a layout's files to a checked data set."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..pose.people import AREA_OF_BOX
from ..pose.protocols import PROTOCOLS, protocol_of
from ..pose.skeletons import Skeleton, unclear_sides
from .annotations.parse import parse
from .annotations.records import Faults, Record, nonsense
from .dataset import PoseDataset
from .images.store import Store
from .layouts import LAYOUTS
from .options import DataOptions
from .reading import cached

_LOG = logging.getLogger(__name__)


def open_dataset(options: DataOptions, split: str) -> PoseDataset:
    """Open `split` of the data set that `options` describe.

    Args:
        split: a split's name such as `options.train_split`.

    Raises:
        InputError: the files are missing or broken; the message names them and what to do.
    """
    layout = LAYOUTS.get(options.layout)
    skeleton = Skeleton.load(options.skeleton)
    if options.augment.flip > 0:
        _tell_mirror(skeleton)
    protocol = options.protocol or protocol_of(skeleton, layout.protocol)
    store = Store(options.root)
    found = layout.split(store, split)
    faults = Faults(options.on_error)
    records: list[Record] = []
    for source, given in found.documents:
        document = given(options.exif) if callable(given) else given
        fresh = parse(
            document, source, skeleton, PROTOCOLS.get(protocol).counted(skeleton), faults, options.category
        )
        records = _join(records, fresh, source, faults)
    if "area" in PROTOCOLS.get(protocol).needs:
        records = _with_areas(found.name, records)
    dataset = PoseDataset(
        found.name,
        skeleton,
        records,
        store,
        found.folders,
        beside=found.beside,
        protocol=protocol,
        on_error=options.on_error,
        exif=options.exif,
    )
    if options.verify != "none":
        _check_headers(dataset, faults)
    if options.verify == "pixels":
        _check_pixels(dataset, faults)
    dataset.skipped = faults.skipped
    if options.verify != "none":
        _tell_doubts(dataset)
    else:
        dataset.tell_first_guess()
    if not len(dataset):
        first = f"; the first of {len(dataset.skipped)} skipped: " if dataset.skipped else ""
        raise InputError(f"{found.name} holds no usable image{first}{''.join(map(str, dataset.skipped[:1]))}")
    if dataset.skipped:
        _LOG.warning(
            "%s: %d records left out (data.on_error=skip), the first: %s; supernet.audit lists all",
            dataset.name,
            len(dataset.skipped),
            dataset.skipped[0],
        )
    return cached(dataset) if options.cache == "memory" else dataset


def _tell_doubts(dataset: PoseDataset) -> None:
    """Warn of what is readable and yet looks wrong: pictures found by their last names, nonsense geometry."""
    if guessed := dataset.by_last_name():
        _LOG.warning(
            "%s: %d images are not where their file_name says, such as %s; files of that last name are "
            "taken, such as %s",
            dataset.name,
            len(guessed),
            *guessed[0],
        )
    for what in nonsense(dataset.records, PROTOCOLS.get(dataset.protocol).needs):
        _LOG.warning("%s: %s", dataset.name, what)


def _tell_mirror(skeleton: Skeleton) -> None:
    """Say which joints of a user's own layout mirror which, or that nobody knows."""
    if not skeleton.mirrors:
        unclear = unclear_sides(skeleton.joints)
        _LOG.warning(
            "the names of skeleton %r do not tell which joints mirror which%s, so pictures are not mirrored; "
            "give its flip to have them mirrored (docs/data.md)",
            skeleton.name,
            f" ({' and '.join(unclear)} may be two sides)" if unclear else "",
        )
    elif not skeleton.built_in:
        names, pairs = skeleton.joints, [(i, j) for i, j in enumerate(skeleton.flip) if i < j]
        _LOG.info(
            "skeleton %r: in a mirror %s change places, all others stay",
            skeleton.name,
            ", ".join(f"{names[i]} and {names[j]}" for i, j in pairs) or "no joints",
        )


def _with_areas(name: str, records: list[Record]) -> list[Record]:
    """The records with an area for everybody: CrowdPose's share of the box where a file gives none."""
    lacking = sum(int(np.isnan(record.areas).sum()) for record in records)
    if not lacking:
        return records
    _LOG.warning(
        "%s: %d annotations have no area, which this protocol scores by; %g of the box is taken",
        name,
        lacking,
        AREA_OF_BOX,
    )
    derived = [
        np.where(np.isnan(r.areas), AREA_OF_BOX * r.boxes[:, 2:].prod(axis=1), r.areas) for r in records
    ]
    return [dataclasses.replace(r, areas=areas) for r, areas in zip(records, derived, strict=True)]


def load_crowdpose(
    root: str | os.PathLike[str],
    split: str,
    *,
    skeleton: str | os.PathLike[str] | Skeleton = "crowdpose",
    **settings: Any,
) -> PoseDataset:
    """Open one split of a data set in the CrowdPose layout.

    Args:
        root: a folder or a .zip.
        split: "train", "val", "test", "trainval" (train and val joined), any other
            `crowdpose_{split}.json`, or the path of one annotation file.
        skeleton: a joint layout or its name.
        settings: further fields of `DataOptions`, such as `on_error` and `verify`.

    Raises:
        InputError: a file is missing or broken; the message names it and what to do.
    """
    options = DataOptions(os.fspath(root), **{"layout": "crowdpose", **settings})
    return open_dataset(options.of_joints(skeleton), split)


def load_coco(root: str | os.PathLike[str], split: str, **settings: Any) -> PoseDataset:
    """Open one split of a data set in the COCO layout, images without any person included (COCO scores them).

    Args:
        root: a folder or a .zip; COCO's own zips inside the folder are read as they are.
        split: "train2017", "val2017", ("train", "val" and "trainval" mean those), any other folder that has a
            `person_keypoints_{split}.json`, or the path of one annotation file.
        settings: as of `load_crowdpose`; the skeleton is "coco" where none is given.

    Raises:
        InputError: a file is missing or broken; the message names it and what to do.
    """
    return load_crowdpose(root, split, **{"layout": "coco", "skeleton": "coco", **settings})


def _join(records: list[Record], more: list[Record], source: str, faults: Faults) -> list[Record]:
    """Both lists without images of `more` that are in `records`, too."""
    known = {record.image_id for record in records}
    for record in more:
        if record.image_id in known:
            faults.add(source, f"image {record.image_id}", "is in another of the joined splits too")
    return joined(records, [record for record in more if record.image_id not in known])


def joined(records: list[Record], more: list[Record]) -> list[Record]:
    """Both lists; annotation ids of `more` move out of the way of those already there."""
    taken, fresh = ([key for r in some for key in r.annotation_ids.tolist()] for some in (records, more))
    if shift := np.int64(shift_of(taken, fresh)):
        more = [dataclasses.replace(r, annotation_ids=r.annotation_ids + shift) for r in more]
    return records + more


def shift_of(taken: Iterable[int], fresh: Sequence[int]) -> int:
    """What to add to all of `fresh` so that none of them is `taken`."""
    known = set(taken)
    return 0 if known.isdisjoint(fresh) else 1 + max(known) - min(fresh)


def _check_headers(dataset: PoseDataset, faults: Faults) -> None:
    """Settle sizes and views; leave out images that are missing or no images."""
    kept: list[Record] = []
    views: dict[bool, list[str]] = {True: [], False: []}
    for index, (record, found) in enumerate(zip(dataset.records, dataset.look(), strict=True)):
        if isinstance(found, InputError):
            faults.add(dataset.name, f"image {record.image_id}", str(found))
            continue
        if found.swapped:
            dataset.swapped.append(record.image_id)
        if found.tagged:
            views[bool(found.record.stored)].append(dataset.image_name(index))
        kept.append(found.record)
    dataset.records = tuple(kept)
    on_stored, on_upright = views[True], views[False]
    if on_stored:
        others = f", those of {len(on_upright)} on the upright one ({on_upright[0]})" if on_upright else ""
        _LOG.warning(
            "%s: %d images with an EXIF orientation (%s) are not turned: their labels are on the stored "
            "view%s; if that is wrong, set data.exif",
            dataset.name,
            len(on_stored),
            on_stored[0],
            others,
        )


def _check_pixels(dataset: PoseDataset, faults: Faults) -> None:
    """Leave out images that are not whole."""
    damaged = dataset.damaged()
    for index, reason in damaged.items():
        faults.add(dataset.name, f"image {dataset.records[index].image_id}", reason)
    dataset.records = tuple(r for i, r in enumerate(dataset.records) if i not in damaged)
