"""Where a network's joints go wrong: the kinds of error of every joint of every person that was found."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from supernet.pose.skeletons import Skeleton

KINDS = ("good", "jitter", "inversion", "swap", "miss")
# Joint similarities: above the first a joint is good, above the second it is at least about there.
GOOD = 0.85
NEAR = 0.5
# A detection belongs to a person from this OKS on; CrowdPose counts this many detections per image.
MATCH = 0.1
PER_IMAGE = 20

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorAnalysis:
    """Kinds of error (Ronchi and Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose
    Estimation", ICCV 2017).

    Attributes:
        counts: (J, 5) labelled joints of people who were found, by kind: good, jitter (near), inversion
            (on the mirror joint of the same person), swap (on another person's joint), miss (elsewhere).
        people: labelled people.
        found: of them, those with a detection of OKS 0.1 or more.
        unmatched: detections that belong to nobody.
    """

    counts: NDArray[np.int64]
    people: int
    found: int
    unmatched: int

    def shares(self) -> Floats:
        """(J, 5) `counts` as shares of each joint's total (0 where a joint never occurs)."""
        totals = self.counts.sum(axis=1, keepdims=True)
        return np.asarray(self.counts / np.maximum(totals, 1))


def analyse(
    ground_truth: Mapping[str, Any], detections: Sequence[Mapping[str, Any]], skeleton: Skeleton
) -> ErrorAnalysis:
    """Sort the joints of all matched people by what is wrong with them.

    Args:
        ground_truth: annotations in COCO form; crowds and people without labelled joints are left out.
        detections: COCO keypoint results.
        skeleton: their joints.
    """
    people = _grouped(
        person
        for person in ground_truth["annotations"]
        if not person.get("iscrowd") and any(v > 0 for v in person["keypoints"][2::3])
    )
    results = _grouped(detections)
    counts = np.zeros((skeleton.num_joints, len(KINDS)), np.int64)
    total = found = unmatched = 0
    for image_id in {**people, **results}:
        truth = people.get(image_id, [])
        best = sorted(results.get(image_id, []), key=lambda item: -item["score"])[:PER_IMAGE]
        pairs = _Scene(truth, best, skeleton).count_into(counts)
        total, found, unmatched = total + len(truth), found + pairs, unmatched + len(best) - pairs
    return ErrorAnalysis(counts, total, found, unmatched)


def _grouped(records: Any) -> dict[int, list[Any]]:
    groups: dict[int, list[Any]] = {}
    for record in records:
        groups.setdefault(record["image_id"], []).append(record)
    return groups


class _Scene:
    """People (P) and detections (D) of one image."""

    def __init__(self, people: Sequence[Any], detections: Sequence[Any], skeleton: Skeleton) -> None:
        shape = (-1, skeleton.num_joints, 3)
        self.truth = np.array([person["keypoints"] for person in people], float).reshape(shape)
        self.found = np.array([item["keypoints"] for item in detections], float).reshape(shape)
        areas = np.array([_area(person) for person in people], float)
        sigmas = np.asarray(skeleton.sigmas, float)
        # Squared distance at which similarity is exp(-1/2), as OKS has it.
        self.spread_pj = np.maximum(areas[:, None] * (2 * sigmas) ** 2, np.spacing(1))
        self.mirror = list(skeleton.flip)

    def _similarity(self, joints: Sequence[int]) -> Floats:
        """(D, P, J) similarity of detected joint j to person's joint `joints[j]`; 0 where that is not
        labelled.
        """
        truth = self.truth[:, joints]
        gap = self.found[:, None, :, :2] - truth[None, :, :, :2]
        similar = np.exp(-(gap**2).sum(axis=-1) / (2 * self.spread_pj[None][:, :, joints]))
        return np.asarray(np.where(truth[None, ..., 2] > 0, similar, 0.0))

    def count_into(self, counts: NDArray[np.int64]) -> int:
        """Add the kinds of all matched joints to `counts` (J, 5); the number of matched people."""
        own_dpj = self._similarity(list(range(len(self.mirror))))
        mirrored_dpj = self._similarity(self.mirror)
        labelled_pj = self.truth[..., 2] > 0
        oks_dp = own_dpj.sum(axis=-1) / np.maximum(labelled_pj.sum(axis=-1), 1)
        free = np.ones(len(self.truth), bool)
        pairs = 0
        for detection, oks_p in enumerate(oks_dp):
            if not (free & (oks_p >= MATCH)).any():
                continue
            person = int(np.where(free, oks_p, -1).argmax())
            free[person] = False
            pairs += 1
            own, mirrored = own_dpj[detection], mirrored_dpj[detection]
            others = np.arange(len(self.truth)) != person
            elsewhere_j = np.maximum(own, mirrored)[others].max(axis=0, initial=0)
            kind_j = np.select(
                [own[person] >= GOOD, own[person] >= NEAR, mirrored[person] >= NEAR, elsewhere_j >= NEAR],
                [0, 1, 2, 3],
                default=4,
            )
            labelled = np.flatnonzero(labelled_pj[person])
            np.add.at(counts, (labelled, kind_j[labelled]), 1)
        return pairs


def _area(person: Mapping[str, Any]) -> float:
    if "area" in person:
        return float(person["area"])
    _, _, width, height = person["bbox"]
    return 0.53 * float(width) * float(height)
