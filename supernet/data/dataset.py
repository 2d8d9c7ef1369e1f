"""A pose data set: checked annotations, and images read when asked for."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import InputError
from ..pose.skeletons import Skeleton
from .annotations.records import Record, Skipped
from .images.decode import UInt8Image, damaged_images, decode_rgb, image_size
from .images.store import Store


class PoseDataset:
    """Images with people's joints.

    Attributes:
        name: such as "crowdpose-val".
        skeleton: the joint layout.
        protocol: how it is scored (`supernet.pose.protocols.PROTOCOLS`).
        records: one per image.
        skipped: what was left out on opening, with `on_error="skip"`.
        swapped: ids of images whose annotation had width and height swapped (mended in `records`).
    """

    def __init__(
        self,
        name: str,
        skeleton: Skeleton,
        records: Iterable[Record],
        store: Store,
        folders: Sequence[str],
        *,
        protocol: str = "crowdpose",
        on_error: str = "raise",
        skipped: Iterable[Skipped] = (),
        swapped: Iterable[int] = (),
    ) -> None:
        """See the class; `folders` are where images may lie in `store`, the first that holds one counts."""
        self.name = name
        self.skeleton = skeleton
        self.protocol = protocol
        self.records = tuple(records)
        self.on_error = on_error
        self.skipped = list(skipped)
        self.swapped = list(swapped)
        self._store = store
        self._folders = tuple(folders)
        self._cache: dict[int, UInt8Image] = {}

    def __len__(self) -> int:
        """The number of images."""
        return len(self.records)

    @property
    def num_people(self) -> int:
        """All annotations, crowds and unlabelled people included."""
        return sum(record.num_people for record in self.records)

    def image_name(self, index: int) -> str:
        """Where image `index` lies, for messages."""
        return self._store.describe(self._member(self.records[index]))

    def read_image(self, index: int) -> UInt8Image:
        """Image `index` as (H, W, 3) uint8 RGB, EXIF rotation ignored.

        An annotation with width and height swapped is accepted: the pixels count.

        Raises:
            InputError: the file is missing, no image, truncated, or of another size than its annotation says.
        """
        record = self.records[index]
        if record.image_id in self._cache:
            return self._cache[record.image_id]
        name = self._member(record)
        data = self._store.read(name)
        described = f"{self._store.describe(name)} (image {record.image_id})"
        # The header first: a mangled one may announce gigabytes.
        check_size(record, *image_size(lambda size: data if size < 0 else data[:size], described), described)
        image = decode_rgb(data, described)
        check_size(record, image.shape[1], image.shape[0], described)
        return image

    def header_size(self, index: int) -> tuple[int, int]:
        """(width, height) of image `index` from the first bytes of its file.

        Raises:
            InputError: the file is missing or no image.
        """
        name = self._member(self.records[index])
        return image_size(lambda size: self._store.read(name, size), self._store.describe(name))

    def damaged(self, progress: Callable[[int], None] | None = None) -> dict[int, str]:
        """What is wrong with the images that do not decode cleanly, by index; every image is decoded.

        Args:
            progress: called with 1 for every image that is done, from several threads.
        """
        names = [self._member(record) for record in self.records]
        found = damaged_images(self._store, names, progress=progress)
        return {index: found[name] for index, name in enumerate(names) if name in found}

    def subset(self, indices: Iterable[int]) -> PoseDataset:
        """The same data set with only the images at `indices`, in that order."""
        part = copy.copy(self)
        part.records = tuple(self.records[index] for index in indices)
        return part

    def with_cache(self, images: dict[int, UInt8Image]) -> PoseDataset:
        """The same data set with decoded images by image id, which `read_image` gives instead of reading."""
        cached = copy.copy(self)
        cached._cache = images
        return cached

    def ground_truth(self, image_ids: Iterable[int] | None = None) -> dict[str, Any]:
        """The annotations in COCO's JSON form, for the scorer; only those of `image_ids` when given.

        Raises:
            InputError: an image id is not in the data set.
        """
        records = self.records if image_ids is None else self._by_id(image_ids)
        edges = [[a + 1, b + 1] for a, b in self.skeleton.edges]
        category = {"id": 1, "name": "person", "supercategory": "person"}
        return {
            "images": [_image_entry(record) for record in records],
            "annotations": [entry for record in records for entry in _people_entries(record)],
            "categories": [{**category, "keypoints": list(self.skeleton.joints), "skeleton": edges}],
        }

    def _by_id(self, image_ids: Iterable[int]) -> list[Record]:
        known = {record.image_id: record for record in self.records}
        wanted = [int(image_id) for image_id in image_ids]
        for image_id in wanted:
            if image_id not in known:
                raise InputError(f"{self.name} has no image {image_id}")
        return [known[image_id] for image_id in wanted]

    def _member(self, record: Record) -> str:
        names = [f"{folder}/{record.file_name}" for folder in self._folders]
        return next((name for name in names if self._store.exists(name)), names[0])

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker reads from disk; a forked one never pickles and shares the cache.
        return {**self.__dict__, "_cache": {}}


def check_size(record: Record, width: int, height: int, name: str) -> bool:
    """Whether `record` has the decoded `width` and `height` swapped.

    Raises:
        InputError: it has altogether different ones.
    """
    if (width, height) == (record.width, record.height):
        return False
    if (width, height) == (record.height, record.width):
        return True
    raise InputError(
        f"{name} has {width}x{height} pixels, its annotation says {record.width}x{record.height}; "
        "were the images resized? use the originals"
    )


def mend_size(record: Record) -> Record:
    """`record` with width and height exchanged."""
    return dataclasses.replace(record, width=record.height, height=record.width)


def _image_entry(record: Record) -> dict[str, Any]:
    entry = {
        "id": record.image_id,
        "file_name": record.file_name,
        "width": record.width,
        "height": record.height,
        "crowdIndex": record.crowd_index,
    }
    if math.isnan(record.crowd_index):
        del entry["crowdIndex"]
    return entry


def _people_entries(record: Record) -> Iterable[dict[str, Any]]:
    for index in range(record.num_people):
        entry = {
            "id": int(record.annotation_ids[index]),
            "image_id": record.image_id,
            "category_id": 1,
            "bbox": record.boxes[index].tolist(),
            "keypoints": np.reshape(record.keypoints[index], -1).tolist(),
            "num_keypoints": int(record.num_keypoints[index]),
            "iscrowd": int(record.crowd[index]),
            "area": float(record.areas[index]),
        }
        if math.isnan(record.areas[index]):
            del entry["area"]
        yield entry
