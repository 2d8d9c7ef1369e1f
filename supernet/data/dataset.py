"""A pose data set: checked annotations, and images read when asked for."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..pose.protocols import PROTOCOLS
from ..pose.skeletons import Skeleton
from .annotations.records import BoolArray, Record, Skipped
from .images.decode import Header, UInt8Image, damaged_images, decode_rgb, decode_threads, image_header
from .images.orientation import Looked, looked, settle
from .images.store import Pictures, Store

if TYPE_CHECKING:
    from .options import MixSource

_THREADS = 8
# A source with fewer labelled people does not tell which joints it never labels.
FEW = 20


class PoseDataset:
    """Images with people's joints.

    Attributes:
        name: such as "crowdpose-val".
        skeleton: the joint layout.
        protocol: how it is scored (`supernet.pose.protocols.PROTOCOLS`).
        records: one per image.
        labelled: by the source of images (J,) which joints count there (`labelled_joints`).
        sources: of a mix, by the name with which the source of its images begins.
        skipped: what was left out on opening, with `on_error="skip"`.
        swapped: ids of images whose annotation had width and height swapped (mended in `records`).
        store: the files.
        cached: decoded images by image id, which `read_image` gives instead of reading.
        exif: the view that labels of images with an EXIF orientation were made on, if it is known: "upright",
            "stored" or "auto".
    """

    def __init__(
        self,
        name: str,
        skeleton: Skeleton,
        records: Iterable[Record],
        store: Store,
        folders: Sequence[str],
        *,
        beside: Sequence[str] = (),
        protocol: str = "crowdpose",
        on_error: str = "raise",
        exif: str = "auto",
    ) -> None:
        """See the class; `folders` and `beside` are as of `layouts.Split`."""
        self.name = name
        self.skeleton = skeleton
        self.protocol = protocol
        self.records = tuple(records)
        self.on_error = on_error
        self.exif = exif
        self.sources: Mapping[str, MixSource] = {}
        self.skipped: list[Skipped] = []
        self.swapped: list[int] = []
        self.labelled = labelled_joints(self.records, skeleton.num_joints)
        self.store = store
        self.cached: dict[int, UInt8Image] = {}
        self._pictures = Pictures(store, folders, beside, [record.file_name for record in self.records])

    def __len__(self) -> int:
        """The number of images."""
        return len(self.records)

    def by_source(self) -> dict[str, list[int]]:
        """The indices of the images of each source."""
        return grouped(record.source for record in self.records)

    @property
    def num_people(self) -> int:
        """All annotations, crowds and unlabelled people included."""
        return sum(record.num_people for record in self.records)

    @property
    def num_labelled(self) -> int:
        """Annotations with a labelled joint."""
        return sum(int((record.keypoints[..., 2] > 0).any(axis=1).sum()) for record in self.records)

    def fingerprint(self) -> str:
        """SHA-256 of all that the annotations say, with the joints and the view; not where anything lies."""
        digest = hashlib.sha256(json.dumps(self.skeleton.identity()).encode())
        for record in self.records:
            # Sides in either order, and an image that was not looked at as an upright one: it is the same
            # data whatever `data.verify` says.
            sides = sorted((record.width, record.height))
            told = [
                record.image_id,
                record.file_name,
                *sides,
                record.crowd_index,
                bool(record.stored),
                record.source,
            ]
            regions = [[region.polygons, region.rle] for region in record.ignore]
            digest.update(json.dumps([told, regions], default=_plain).encode())
            for array in (record.keypoints, record.boxes, record.crowd, record.num_keypoints, record.areas):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def num_scored(self) -> int:
        """People to be found by the protocol: no crowds, nobody without a counted joint or an area.

        Who has no labelled joint is not among them, whatever its `num_keypoints` says.

        Raises:
            InputError: the annotations lack what the protocol needs.
        """
        truth = self.ground_truth()
        PROTOCOLS.get(self.protocol).prepare(truth, self.skeleton)
        return sum(
            entry["num_keypoints"] > 0 and not entry["iscrowd"] and any(entry["keypoints"][2::3])
            for entry in truth["annotations"]
        )

    def require_people(self) -> None:
        """Raise InputError if there is nobody whose being found could be scored."""
        if not self.num_scored():
            raise InputError(
                f"{self.name} has nobody to score: its {self.num_people} annotated people are crowds, or "
                "without a joint that counts, or without an area; choose another split"
            )

    def image_name(self, index: int) -> str:
        """Where image `index` lies, for messages."""
        return self.store.describe(self.file_name(index))

    def file_name(self, index: int) -> str:
        """Where image `index` lies below the data set's root."""
        return self._member(self.records[index])

    def tell_first_guess(self) -> None:
        """Warn when the first image is read that only the last part of its `file_name` tells."""
        self._pictures.tells = True

    def by_last_name(self) -> list[tuple[str, str]]:
        """Of images that only the last part of their `file_name` told: that, and the file that is taken."""
        places = [(record.file_name, *self._pictures.find(record.file_name)) for record in self.records]
        return [(told, self.store.describe(name)) for told, name, guessed in places if guessed]

    def read_image(self, index: int) -> UInt8Image:
        """Image `index` as (H, W, 3) uint8 RGB, the view that its labels are on (upright where a tag tells).

        An annotation with width and height swapped is accepted: the pixels count.

        Raises:
            InputError: the file is missing, no image, truncated, of another size than its annotation says, or
                its labels fit two views.
        """
        record = self.records[index]
        if record.image_id in self.cached:
            return self.cached[record.image_id]
        name = self._member(record)
        data = self.store.read(name)
        described = f"{self.store.describe(name)} (image {record.image_id})"
        # The header first: a mangled one may announce gigabytes.
        header = image_header(lambda size: data if size < 0 else data[:size], described)
        if record.stored is None:
            found = settle([record], [header], [described], self.exif)[0]
        else:
            found = looked(record, header, described)
        if isinstance(found, InputError):
            raise found
        settled = found.record
        image = decode_rgb(data, described, stored=bool(settled.stored))
        if image.shape[:2] != (settled.height, settled.width):
            raise InputError(f"{described} does not hold the pixels that its header announces")
        return image

    def header(self, index: int) -> Header:
        """Size and orientation of image `index` from the first bytes of its file.

        Raises:
            InputError: the file is missing or no image.
        """
        name = self._member(self.records[index])
        return image_header(lambda size: self.store.read(name, size), self.store.describe(name))

    def look(self) -> list[Looked | InputError]:
        """For each image what its header says of its record, or what is wrong with it."""

        def header(index: int) -> Header | InputError:
            try:
                return self.header(index)
            except InputError as error:
                return error

        indices = range(len(self))
        with decode_threads(_THREADS) as pool:
            headers = list(pool.map(header, indices))
        names = [self.image_name(index) for index in indices]
        found = settle(self.records, headers, names, self.exif)
        for group in grouped(map(os.path.normpath, names)).values():
            for index in group[1:] and group:  # each has some of its people
                ids = ", ".join(str(self.records[other].image_id) for other in group)
                found[index] = InputError(f"{names[index]} is the picture of images {ids} alike; join them")
        return found

    def damaged(self, progress: Callable[[int], None] | None = None) -> dict[int, str]:
        """What is wrong with the images that do not decode cleanly, by index; every image is decoded.

        Args:
            progress: called with 1 for every image that is done, from several threads.
        """
        names = [self._member(record) for record in self.records]
        found = damaged_images(self.store, names, progress=progress)
        return {index: found[name] for index, name in enumerate(names) if name in found}

    def subset(self, indices: Iterable[int]) -> PoseDataset:
        """The same data set with only the images at `indices`, in that order."""
        part = copy.copy(self)
        part.skipped = list(self.skipped)
        part.records = tuple(self.records[index] for index in indices)
        return part

    def with_cache(self, images: dict[int, UInt8Image]) -> PoseDataset:
        """The same data set with decoded images by image id, which `read_image` gives instead of reading."""
        part = copy.copy(self)
        part.skipped = list(self.skipped)
        part.cached = images
        return part

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
            "annotations": [entry for record in records for entry in people_entries(record)],
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
        return self._pictures.find(record.file_name)[0]

    def __getstate__(self) -> dict[str, Any]:
        # A spawned worker reads from disk; a forked one never pickles and shares the cache.
        return {**self.__dict__, "cached": {}}


def grouped(names: Iterable[str]) -> dict[str, list[int]]:
    """By each of `names` where it stands among them."""
    found: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        found.setdefault(name, []).append(index)
    return found


def labelled_joints(records: Iterable[Record], num_joints: int) -> dict[str, BoolArray]:
    """By source (J,) which joints anybody there is labelled with: the others are unknown, not absent.

    Sources with few labelled people are taken together with all others: of those, a joint may be missing by
    chance. Where nobody is labelled at all there is nobody, and all joints count.
    """
    seen: dict[str, BoolArray] = {}
    people: Counter[str] = Counter()
    for record in records:
        joints = record.keypoints[..., 2] > 0
        known = seen.setdefault(record.source, np.zeros(num_joints, np.bool_))
        known |= joints.any(axis=0)
        people[record.source] += int(joints.any(axis=1).sum())
    together = np.any([*seen.values(), np.full(num_joints, not people.total())], axis=0)
    return {source: known if people[source] >= FEW else together for source, known in seen.items()}


def _plain(value: Any) -> Any:
    """What JSON has no form for: arrays, and the bytes of a mask."""
    return value.decode("latin-1") if isinstance(value, bytes) else value.tolist()


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


def people_entries(record: Record) -> Iterable[dict[str, Any]]:
    """The annotations of one image in COCO's JSON form."""
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
