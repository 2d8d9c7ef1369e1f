"""Looking a data set over before trusting it: counts, broken files, joint statistics, pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..files import write_json
from .audit_plots import draw_crowd_index
from .audit_plots import draw_joints
from .dataset import PoseDataset
from .dataset import check_size
from .faults import Faults
from .faults import Skipped
from .statistics import Counts
from .statistics import JointStatistics
from .statistics import count
from .statistics import crowd_indices
from .statistics import joint_statistics

SCHEMA = 1


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        name: the data set's name.
        counts: its figures.
        joints: one entry per joint.
        swapped: ids of images whose annotation has width and height swapped (read right all the same).
        broken: images that are missing, no images, of another size than annotated, or damaged.
        skipped: records left out when the data set was opened with `on_error="skip"`.
        pixels_checked: whether the images were looked at.
    """

    name: str
    counts: Counts
    joints: list[JointStatistics]
    swapped: list[int]
    broken: list[Skipped]
    skipped: list[Skipped]
    pixels_checked: bool

    @property
    def ok(self) -> bool:
        """Nothing is broken and nothing was left out."""
        return not self.broken and not self.skipped

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {"schema": SCHEMA, **dataclasses.asdict(self)}

    def summary(self) -> str:
        """A few lines for the terminal."""
        c = self.counts
        lines = [
            f"{self.name}: {c.images} images, {c.people} people "
            f"({c.scored} scored, {c.unlabelled} without a labelled joint, {c.crowds} crowds)",
            f"short side {c.short_side[0]} to {c.short_side[2]} pixels, median {c.short_side[1]:g}; "
            f"at most {max(c.people_per_image)} people in an image",
        ]
        if c.crowd_levels:
            lines.append("crowd index: " + ", ".join(f"{n} {level}" for level, n in c.crowd_levels.items()))
        if self.swapped:
            lines.append(
                f"{len(self.swapped)} images with width and height swapped in the annotations (mended)"
            )
        if c.miscounted:
            lines.append(f"{len(c.miscounted)} annotations whose num_keypoints is not what is labelled")
        if c.other_crowd_index:
            lines.append(
                f"{len(c.other_crowd_index)} images whose crowdIndex is not what CrowdPose's definition gives"
            )
        if not self.pixels_checked:
            lines.append("the images were not looked at")
        for what, faults in (("left out", self.skipped), ("broken", self.broken)):
            lines += [f"{len(faults)} records {what}:"] * bool(faults) + [
                f"  {fault}" for fault in faults[:10]
            ]
            if len(faults) > 10:
                lines.append(f"  and {len(faults) - 10} more, see audit.json")
        return "\n".join(lines)


def audit(
    dataset: PoseDataset,
    out_dir: str | os.PathLike[str],
    *,
    pixels: bool = True,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Look `dataset` over and write `audit.json`, `joints.png` and (with crowd indices) `crowd_index.png`.

    Best opened with `on_error="skip"` and `verify="none"`, so that one audit lists everything.

    Args:
        dataset: what to look at.
        out_dir: folder for the files; made if it is not there.
        pixels: decode every image (a few milliseconds each); without, only the annotations are looked at.
        progress: called with 1 for every image that is decoded, from several threads.
    """
    folder = Path(out_dir)
    swapped, broken = _look_at_images(dataset, progress) if pixels else ([], [])
    report = AuditReport(
        name=dataset.name,
        counts=count(dataset),
        joints=joint_statistics(dataset),
        swapped=sorted({*dataset.swapped, *swapped}),
        broken=broken,
        skipped=list(dataset.skipped),
        pixels_checked=pixels,
    )
    indices = crowd_indices(dataset)
    if indices:
        draw_crowd_index(indices, dataset.name, folder / "crowd_index.png")
    draw_joints(report.joints, dataset.name, folder / "joints.png")
    write_json(folder / "audit.json", report.to_dict())
    return report


def _look_at_images(
    dataset: PoseDataset, progress: Callable[[int], None] | None
) -> tuple[list[int], list[Skipped]]:
    """Ids of images with swapped sizes, and the broken ones."""
    swapped: list[int] = []
    faults = Faults("skip")
    damaged = dataset.damaged(progress)
    for index, record in enumerate(dataset.records):
        try:
            if index in damaged:
                raise InputError(damaged[index])
            if check_size(record, *dataset.header_size(index), dataset.image_name(index)):
                swapped.append(record.image_id)
        except InputError as error:
            faults.add(dataset.name, f"image {record.image_id}", str(error))
    return swapped, faults.skipped
