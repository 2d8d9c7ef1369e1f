"""Looking a data set over before trusting it: counts, broken files, joint statistics, pictures."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...pose.protocols import PROTOCOLS
from ...runs.files import atomic_path, write_json
from ..annotations.records import Faults, Skipped, nonsense
from ..dataset import PoseDataset
from ..images.orientation import Looked
from .statistics import (
    Counts,
    JointStatistics,
    count,
    crowd_indices,
    crowd_levels,
    joint_statistics,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEVELS = ("#4c9f70", "#e0a030", "#c44e52")
_VISIBLE, _OCCLUDED = "#3b6ea5", "#a9c4de"


def draw_crowd_index(indices: Sequence[float], name: str, protocol: str, path: Path) -> None:
    """Write a histogram of the crowd index to the PNG `path`, coloured by the protocol's levels.

    The last bar takes all images beyond it: the index has no upper bound.
    """
    width, last = 0.05, 1.5
    edges = np.arange(0, last + width / 2, width)
    # Indices have two decimals; the shift keeps one that lies on an edge out of the bin to its left.
    counts, _ = np.histogram(np.minimum(np.asarray(indices) + 1e-9, last - width / 2), edges)
    bars = PROTOCOLS.get(protocol).by_level(edges[:-1] + width / 2)
    figure = _figure(7.0, 3.6)
    axes = figure.subplots()
    for level, (label, number) in enumerate(crowd_levels(list(indices), protocol).items()):
        chosen = bars[label]
        colour = _LEVELS[level % len(_LEVELS)]
        text = f"{label}: {number} images"
        axes.bar(edges[:-1][chosen], counts[chosen], width, align="edge", color=colour, label=text)
    axes.set(xlabel="crowd index", ylabel="images", xlim=(0, last))
    ticks = np.arange(0, last + 0.1, 0.25)
    axes.set_xticks(ticks, [*(f"{tick:g}" for tick in ticks[:-1]), f"≥{last - width:g}"])
    axes.set_title(f"{name}: crowd index of {len(indices)} images", loc="left")
    axes.legend(frameon=False)
    _save(figure, path)


def draw_joints(joints: Sequence[JointStatistics], name: str, path: Path) -> None:
    """Write a bar per joint, visible and occluded, to the PNG `path`."""
    figure = _figure(7.0, 1.0 + 0.24 * len(joints))
    axes = figure.subplots()
    rows = np.arange(len(joints))
    visible = np.array([joint.visible for joint in joints])
    occluded = np.array([joint.occluded for joint in joints])
    axes.barh(rows, visible, color=_VISIBLE, label="visible (v = 2)")
    axes.barh(rows, occluded, left=visible, color=_OCCLUDED, label="occluded (v = 1)")
    for row, joint in enumerate(joints):
        axes.annotate(
            f"{joint.share:.0%}", (visible[row] + occluded[row], row), (4, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(rows, [joint.name.replace("_", " ") for joint in joints])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(1, int((visible + occluded).max())))
    axes.set_xlabel("people with the joint labelled (and their share of all labelled people)")
    axes.set_title(f"{name}: labelled joints", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.62, 1.14), ncols=2, fontsize=8)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=130, layout="constrained")
    return figure


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


SCHEMA = 1


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Attributes:
        name: the data set's name.
        counts: of its images and people.
        joints: one entry per joint.
        swapped: ids of images whose annotation has width and height swapped (read right all the same).
        broken: images that are missing, no images, of another size than annotated, or damaged.
        skipped: records left out when the data set was opened with `on_error="skip"`.
        pixels_checked: whether the images were looked at.
        nonsense: a line for each kind of geometry that cannot be meant, where much of it is there.
        on_stored: ids of images with an EXIF orientation whose labels are on the stored view.
    """

    name: str
    counts: Counts
    joints: list[JointStatistics]
    swapped: list[int]
    broken: list[Skipped]
    skipped: list[Skipped]
    pixels_checked: bool
    nonsense: list[str] = dataclasses.field(default_factory=list)
    on_stored: list[int] = dataclasses.field(default_factory=list)

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
        if self.on_stored:
            lines.append(f"{len(self.on_stored)} images with EXIF orientation and labels on the stored view")
        if self.swapped:
            lines.append(
                f"{len(self.swapped)} images with width and height swapped in the annotations (mended)"
            )
        lines += self.nonsense
        if not c.scored:
            lines.append("nobody here counts for a score: validation and search will refuse this split")
        if c.miscounted:
            lines.append(f"{len(c.miscounted)} annotations whose num_keypoints is not what is labelled")
        if c.other_crowd_index:
            lines.append(
                f"{len(c.other_crowd_index)} images whose crowdIndex is not what its definition gives"
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
    coco: bool = False,
    progress: Callable[[int], None] | None = None,
) -> AuditReport:
    """Look `dataset` over and write `audit.json`, `joints.png` and (with crowd indices) `crowd_index.png`.

    Best opened with `on_error="skip"` and `verify="none"`, so that one audit lists everything.

    Args:
        dataset: what to look at.
        out_dir: folder for the files; made if it is not there.
        pixels: decode every image (a few milliseconds each); without, only the annotations are looked at.
        coco: also write `annotations.json`: what is whole in COCO's form, joints in the skeleton's order,
            sizes of the views that the labels are on, names below the data set's root. Masks of crowds
            become their boxes.
        progress: called with 1 for every image that is decoded, from several threads.
    """
    folder = Path(out_dir)
    swapped: list[int] = []
    broken: list[Skipped] = []
    if pixels:
        dataset, swapped, broken = _look_at_images(dataset, progress)
    report = AuditReport(
        name=dataset.name,
        counts=count(dataset),
        joints=joint_statistics(dataset),
        swapped=sorted({*dataset.swapped, *swapped}),
        broken=broken,
        skipped=list(dataset.skipped),
        pixels_checked=pixels,
        nonsense=nonsense(dataset.records, PROTOCOLS.get(dataset.protocol).needs),
        on_stored=[record.image_id for record in dataset.records if record.stored],
    )
    indices = crowd_indices(dataset)
    if report.counts.crowd_levels:
        draw_crowd_index(indices, dataset.name, dataset.protocol, folder / "crowd_index.png")
    draw_joints(report.joints, dataset.name, folder / "joints.png")
    write_json(folder / "audit.json", report.to_dict())
    if coco:
        bad = {fault.record for fault in broken}
        whole = dataset.subset(i for i, r in enumerate(dataset.records) if f"image {r.image_id}" not in bad)
        truth = whole.ground_truth()
        for index, entry in enumerate(truth["images"]):
            entry["file_name"] = whole.file_name(index)
        write_json(folder / "annotations.json", truth, indent=None)
    return report


def _look_at_images(
    dataset: PoseDataset, progress: Callable[[int], None] | None
) -> tuple[PoseDataset, list[int], list[Skipped]]:
    """The data set with settled sizes, ids of images whose were swapped, and the broken images."""
    faults = Faults("skip")
    damaged = dataset.damaged(progress)
    swapped: list[int] = []
    records = list(dataset.records)
    for index, found in enumerate(dataset.look()):
        error = damaged.get(index, found)
        if not isinstance(error, Looked):
            faults.add(dataset.name, f"image {records[index].image_id}", str(error))
            continue
        records[index] = error.record
        if error.swapped:
            swapped.append(error.record.image_id)
    settled = dataset.subset(range(len(dataset)))
    settled.records = tuple(records)
    return settled, swapped, faults.skipped
