"""One image's annotations as the rest of the toolkit gets them, and what is odd in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...errors import InputError

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Region:
    """A part of an image that the heatmap loss must leave out, in image coordinates (pixel i spans [i, i+1)).

    Attributes:
        polygons: (K, 2) corner arrays; their union counts.
        rle: a COCO run-length mask (`size` = [height, width], `counts` compressed bytes), if any.
    """

    polygons: tuple[FloatArray, ...] = ()
    rle: Mapping[str, Any] | None = None

    @classmethod
    def box(cls, x: float, y: float, width: float, height: float) -> Region:
        """The region of an xywh box."""
        corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
        return cls(polygons=(np.array(corners, dtype=np.float64),))


@dataclass(frozen=True, eq=False)
class Record:
    """One image and its P people.

    Attributes:
        image_id: unique in its data set.
        file_name: as in the annotation file.
        width, height: in pixels of the view that the labels are on.
        crowd_index: CrowdPose's crowd index; nan when the file gives none.
        keypoints: (P, J, 3) float64 x, y, v with v = 0 unlabelled, 1 occluded, 2 visible. Float64 keeps
            the file's values exact, so that scores made from them equal scores made from the file.
        boxes: (P, 4) float64 x, y, width, height.
        num_keypoints: (P,) as the file counts them (CrowdPose leaves head and neck out).
        crowd: (P,) whether the annotation stands for a group.
        areas: (P,) float64 segment area; nan when the file gives none.
        annotation_ids: (P,) unique in the data set.
        ignore: regions with people that nobody labelled, to be left out of the heatmap loss.
        stored: whether the labels are on the picture as it is stored, not as its EXIF orientation shows it;
            None before the file was looked at.
        source: where the image and its annotations come from, if its file says it; what one source never
            labels, another may.
    """

    image_id: int
    file_name: str
    width: int
    height: int
    crowd_index: float
    keypoints: FloatArray
    boxes: FloatArray
    num_keypoints: IntArray
    crowd: BoolArray
    areas: FloatArray
    annotation_ids: IntArray
    ignore: tuple[Region, ...] = field(default=())
    stored: bool | None = None
    source: str = ""

    @property
    def num_people(self) -> int:
        """P."""
        return len(self.boxes)

    @property
    def mixed(self) -> str:
        """The data set of a mix that it comes from."""
        return self.source.partition("/")[0]


@dataclass(frozen=True)
class Skipped:
    """One record that was left out.

    Attributes:
        source: the file it came from.
        record: which record of the file, such as `annotation 17` or `image 104173`.
        reason: what is wrong with it.
    """

    source: str
    record: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.record}: {self.reason}"


class Faults:
    """Collects the bad records of a data set under one policy.

    Args:
        policy: "raise" or "skip" (`DataOptions.on_error`).
    """

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.skipped: list[Skipped] = []

    def add(self, source: str, record: str, reason: str) -> None:
        """Note that `record` of file `source` is bad.

        Raises:
            InputError: the policy is "raise".
        """
        fault = Skipped(source, record, reason)
        if self.policy == "raise":
            raise InputError(f"{fault}; mend it, or leave such records out with data.on_error=skip")
        self.skipped.append(fault)


def read_region(segmentation: Any, box: FloatArray, width: int, height: int) -> Region:
    """The region of an unlabelled person or a crowd: its polygons or run-length mask, failing that its box.

    CrowdPose has boxes only. A box is a coarse mask, yet without it the network is told that a person whom
    nobody labelled is background; `loss_mask` keeps other people's labelled joints inside it.

    Raises:
        ValueError: the segmentation is malformed; the text goes behind "segmentation".
    """
    if not segmentation:
        x, y, w, h = (float(value) for value in box)
        return Region.box(x, y, w, h)
    if isinstance(segmentation, Mapping):
        return Region(rle=_read_rle(segmentation, width, height))
    if not isinstance(segmentation, list):
        raise ValueError("is neither polygons nor a run-length mask")
    return Region(polygons=tuple(_polygon(value) for value in segmentation))


def decode_rle(rle: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """The (height, width) 0/1 mask of a region's run-length mask."""
    from pycocotools import mask as coco_mask

    return np.asarray(coco_mask.decode(dict(rle)), dtype=np.uint8)


def _read_rle(rle: Mapping[str, Any], width: int, height: int) -> dict[str, Any]:
    """The compressed form of a run-length mask, safe to decode: pycocotools trusts what it is given."""
    from pycocotools import mask as coco_mask

    size, counts = rle.get("size"), rle.get("counts")
    if not isinstance(size, list) or size not in ([height, width], [width, height]):
        raise ValueError(f"has size {size!r:.40}, the image is {width}x{height}")
    if isinstance(counts, list) and all(type(c) is int and c >= 0 for c in counts):
        pixels = sum(counts)
    elif isinstance(counts, str):
        pixels = _compressed_length(counts.encode())
    else:
        raise ValueError(f"has counts {counts!r:.40}")
    if pixels != size[0] * size[1]:
        raise ValueError("has run lengths that do not add up to the image")
    if isinstance(counts, str):
        return {"size": size, "counts": counts.encode()}
    return dict(coco_mask.frPyObjects({"size": size, "counts": counts}, size[0], size[1]))


def _polygon(value: Any) -> FloatArray:
    numbers = isinstance(value, list) and all(type(item) in (int, float) for item in value)
    if not numbers or len(value) < 6 or len(value) % 2:
        raise ValueError(f"has a polygon {value!r:.40}, not a list of x, y pairs")
    corners = np.array(value, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(corners).all():
        raise ValueError("has a polygon with a value that is not finite")
    return corners


def _compressed_length(data: bytes) -> int:
    """Pixels that a compressed COCO run-length string covers; -1 when it ends within a number.

    The format (pycocotools, maskApi): 5 bits a character, offset 48, bit 5 = more to come, each run from
    the third on as the difference to the run two before.
    """
    runs: list[int] = []
    position = 0
    while position < len(data):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(data) or not 48 <= data[position] < 112:
                return -1
            chunk = data[position] - 48
            value |= (chunk & 0x1F) << shift
            more = bool(chunk & 0x20)
            position += 1
            shift += 5
            if not more and chunk & 0x10:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if runs[-1] < 0:
            return -1
    return sum(runs)


# The share of people, or of joints, from which on it is no slip of a hand; of what may be right, it is most.
MANY, MOST = 0.1, 0.5
# An area that is less, or more, than this share of its box's is none of the person in the box.
_AREA = (0.02, 4.0)
# Pictures of at least so many pixels a side tell percentages from pixels.
_LARGE = 200
_SCALE = "square pixels are needed"
# What may be found (`_found`), of which, the share that is too much, and how to say it.
_KINDS = (
    ("empty", "people", MANY, "people have a box of size 0; scoring takes them for nobody"),
    ("small", "people", MANY, "people have joints that look like fractions of the picture, not pixels"),
    ("percent", "large", MOST, "people have joints that look like percentages of the picture, not pixels"),
    ("corners", "people", MANY, "people have boxes that look like two corners, not x, y, width, height"),
    (
        "little",
        "people",
        MANY,
        f"people have an area below {_AREA[0]:.0%} of their box's; {_SCALE}, and 0 is scored as nobody",
    ),
    ("much", "people", MOST, f"people have an area over {_AREA[1]:g} times their box's; {_SCALE}"),
    ("again", "people", MANY, "people are in their picture once more, joint for joint"),
    ("origin", "people", MANY, "people have labelled joints at exactly (0, 0); unlabelled ones have v = 0"),
    ("off_image", "seen", MANY, "labelled joints lie outside of their picture"),
    ("off_box", "seen", MANY, "labelled joints lie outside of their person's box"),
)


def nonsense(records: Sequence[Record], needs: Collection[str] = ()) -> list[str]:
    """One line for each kind of nonsense that much of the labelled people have.

    Args:
        records: the images.
        needs: what the protocol needs of an annotation (`Protocol.needs`): areas that nothing is scored by
            are not looked at.
    """
    if not records:
        return []
    found = {name: np.count_nonzero(which) for name, which in _found(records, "area" in needs).items()}
    return [
        f"{found[name]} of {found[of]} {what}"
        for name, of, share, what in _KINDS
        if name in found and found[name] > share * found[of]
    ]


def _found(records: Sequence[Record], by_area: bool) -> dict[str, BoolArray]:
    """By name, which (N,) of the people, or (N, J) of their joints, are of a kind; only labelled ones are."""
    keypoints = np.concatenate([record.keypoints for record in records])
    boxes = np.concatenate([record.boxes for record in records])[:, None]
    sizes = np.array([(record.width, record.height) for record in records])
    picture = sizes.repeat([record.num_people for record in records], axis=0)[:, None]
    xy, seen, low, size = keypoints[..., :2], keypoints[..., 2] > 0, boxes[..., :2], boxes[..., 2:]
    people = seen.any(axis=1)
    extent = size.prod(axis=-1)[:, 0]
    empty = people & ~(extent > 0)
    largest = np.where(seen[..., None], xy, 0).max(axis=(1, 2), initial=0)
    small = people & (largest <= 1)
    large = people & (picture.min(axis=(1, 2)) >= _LARGE)
    margin = 1 + 0.1 * size
    beside = ((xy < low - margin) | (xy > low + size + margin)).any(axis=-1)
    between = ~(seen & ((xy < low - margin) | (xy > size + margin)).any(axis=-1)).any(axis=1)
    where = np.arange(len(records)).repeat([record.num_people for record in records])
    first: dict[tuple[int, bytes], int] = {}
    copies = [
        first.setdefault((image, one.tobytes()), i)
        for i, (image, one) in enumerate(zip(where.tolist(), keypoints, strict=True))
    ]
    beyond = (low + size > picture + margin).any(axis=(1, 2)) & (low < size).all(axis=(1, 2))
    found = {
        "people": people,
        "empty": empty,
        "small": small,
        "large": large,
        "percent": large & ~small & (largest <= 100),
        "corners": people & between & beyond & (size <= picture + margin).all(axis=(1, 2)),
        "again": people & (np.array(copies, int) < np.arange(len(copies))),
        "origin": (seen & (xy == 0).all(axis=-1)).any(axis=1),
        "seen": seen,
        "off_box": seen & beside & ~empty[:, None],
        "off_image": seen & ((xy < -1) | (xy > picture + 1)).any(axis=-1),
    }
    if by_area:
        areas = np.concatenate([record.areas for record in records])
        ratio = areas / np.where(extent > 0, extent, np.nan)
        found |= {"little": people & (ratio < _AREA[0]), "much": people & (ratio > _AREA[1])}
    return found
