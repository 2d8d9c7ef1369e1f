"""One image's annotations, as the loaders give them to the rest of the toolkit."""

from __future__ import annotations

from collections.abc import Mapping
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

    @property
    def num_people(self) -> int:
        """P."""
        return len(self.boxes)


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
