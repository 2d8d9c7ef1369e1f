"""Counts and statistics of a data set's annotations."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...pose.protocols import PROTOCOLS
from ..dataset import PoseDataset


@dataclass(frozen=True)
class JointStatistics:
    """How often one joint is labelled.

    Attributes:
        name: the joint's name.
        visible, occluded: people whose joint is labelled with v = 2, with v = 1.
        outside: of those, how many lie outside of the image.
        share: labelled / people with any labelled joint, 0..1.
    """

    name: str
    visible: int
    occluded: int
    outside: int
    share: float


@dataclass(frozen=True)
class Counts:
    """A data set in numbers.

    Attributes:
        images: all of them.
        people: all annotations.
        scored: those that a score counts (`PoseDataset.num_scored`).
        labelled: annotations with any labelled joint.
        unlabelled: annotations without one, whose region the heatmap loss leaves out.
        crowds: annotations that stand for a group.
        empty_images: images without any labelled joint.
        people_per_image: number of annotations in an image -> number of such images.
        crowd_levels: images by level of the crowd index; empty when no image has one.
        width, height, short_side: (smallest, median, largest) in pixels.
        person_height: (5th percentile, median, 95th) of labelled people's boxes over the short side.
        miscounted: ids of annotations whose `num_keypoints` is not the number of joints labelled.
        other_crowd_index: ids of images whose crowd index is not what the protocol's definition gives, so
            that they may count at another level; images without one are left out.
    """

    images: int
    people: int
    scored: int
    labelled: int
    unlabelled: int
    crowds: int
    empty_images: int
    people_per_image: dict[int, int]
    crowd_levels: dict[str, int]
    width: tuple[int, float, int]
    height: tuple[int, float, int]
    short_side: tuple[int, float, int]
    person_height: tuple[float, float, float]
    miscounted: list[int]
    other_crowd_index: list[int]


def count(dataset: PoseDataset) -> Counts:
    """The counts of `dataset`."""
    records = dataset.records
    people = [r.num_people for r in records]
    keypoints = np.concatenate([r.keypoints for r in records])
    labelled = (keypoints[..., 2] > 0).any(axis=1)
    crowd = np.concatenate([r.crowd for r in records])
    given = np.concatenate([r.num_keypoints for r in records])
    ids = np.concatenate([r.annotation_ids for r in records])
    counted = PROTOCOLS.get(dataset.protocol).counted(dataset.skeleton)
    width, height = np.array([r.width for r in records]), np.array([r.height for r in records])
    short = np.minimum(width, height)
    tall = np.concatenate([r.boxes[:, 3] / min(r.width, r.height) for r in records])[labelled]
    return Counts(
        images=len(records),
        people=sum(people),
        scored=dataset.num_scored(),
        labelled=int(labelled.sum()),
        unlabelled=int((~labelled).sum()),
        crowds=int(crowd.sum()),
        empty_images=sum(not (r.keypoints[..., 2] > 0).any() for r in records),
        people_per_image=dict(sorted(Counter(people).items())),
        crowd_levels=crowd_levels(crowd_indices(dataset), dataset.protocol),
        width=_extent(width),
        height=_extent(height),
        short_side=_extent(short),
        person_height=_percentiles(tall),
        miscounted=ids[given != (keypoints[:, counted, 2] > 0).sum(axis=1)].tolist(),
        other_crowd_index=_other_crowd_index(dataset),
    )


def joint_statistics(dataset: PoseDataset) -> list[JointStatistics]:
    """One entry per joint of the skeleton."""
    keypoints = np.concatenate([r.keypoints for r in dataset.records])
    size = np.concatenate([np.tile([[r.width, r.height]], (r.num_people, 1)) for r in dataset.records])
    seen = keypoints[..., 2] > 0
    inside = ((keypoints[..., :2] >= 0) & (keypoints[..., :2] < size[:, None])).all(axis=-1)
    people = max(1, int(seen.any(axis=1).sum()))
    return [
        JointStatistics(
            name=name,
            visible=int((keypoints[:, joint, 2] == 2).sum()),
            occluded=int((keypoints[:, joint, 2] == 1).sum()),
            outside=int((seen & ~inside)[:, joint].sum()),
            share=float(seen[:, joint].sum() / people),
        )
        for joint, name in enumerate(dataset.skeleton.joints)
    ]


def crowd_indices(dataset: PoseDataset) -> list[float]:
    """The crowd index of every image that has one."""
    return [r.crowd_index for r in dataset.records if not np.isnan(r.crowd_index)]


def crowd_levels(indices: list[float], protocol: str = "crowdpose") -> dict[str, int]:
    """Images per level of the crowd index; empty for no index."""
    levels = PROTOCOLS.get(protocol).by_level(indices) if indices else {}
    return {level: len(places) for level, places in levels.items()}


def _other_crowd_index(dataset: PoseDataset) -> list[int]:
    protocol = PROTOCOLS.get(dataset.protocol)
    if protocol.crowd_index is None or not protocol.owns(dataset.skeleton):
        return []
    known = dataset.subset(i for i, r in enumerate(dataset.records) if not np.isnan(r.crowd_index))
    people: dict[int, list[dict[str, Any]]] = {r.image_id: [] for r in known.records}
    for person in known.ground_truth()["annotations"]:
        people[person["image_id"]].append(person)
    return [r.image_id for r in known.records if protocol.crowd_index(people[r.image_id]) != r.crowd_index]


def _extent(values: np.ndarray) -> tuple[int, float, int]:
    return int(values.min()), float(np.median(values)), int(values.max())


def _percentiles(values: np.ndarray) -> tuple[float, float, float]:
    if not len(values):
        return 0.0, 0.0, 0.0
    low, middle, high = (round(float(v), 4) for v in np.percentile(values, [5, 50, 95]))
    return low, middle, high
