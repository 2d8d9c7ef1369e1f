"""What is wrong with detected poses, joint by joint: jitter, miss, swap, inversion; and with their scores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .error_kinds import JOINT_TYPES
from .error_kinds import LOCALISED
from .error_kinds import ImageErrors
from .error_kinds import compare
from .people import Floats
from .results import Detections
from .results import GroundTruth
from .results import Record
from .results import read_detections
from .results import read_ground_truth
from .scoring import prepare_truth
from .scoring import score
from .skeletons import Skeleton


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Errors of one set of detections.

    Attributes:
        joints: names of the J joints.
        counts: (J, 5) labelled joints of matched people, by `JOINT_TYPES`.
        similarity: (J,) mean keypoint similarity (0..1) of those joints; nan where there are none.
        people: people to find.  matched: of these, people some detection means.
        background: detections that mean nobody.
        misordered: people whose best pose is not the highest-scored one that means them.
        figures: AP "as it is", and what it would be with one kind of error mended: "jitter", "inversion",
            "swap", "miss" (those joints put right), "score" (each detection scored by its OKS), "background"
            (left out).
    """

    joints: tuple[str, ...]
    counts: NDArray[np.int64]
    similarity: Floats
    people: int
    matched: int
    background: int
    misordered: int
    figures: dict[str, float]

    def table(self) -> str:
        """Per-joint shares and what each kind of error costs, as Markdown."""
        lines = [
            "| joint | labelled | similarity | " + " | ".join(f"{name} %" for name in JOINT_TYPES) + " |"
        ]
        lines.append("|---" * (3 + len(JOINT_TYPES)) + "|")
        rows = [*zip(self.joints, self.counts, self.similarity, strict=True)]
        total = self.counts.sum(axis=0)
        weight = self.counts.sum(axis=1)
        mean = np.nansum(self.similarity * weight) / max(int(weight.sum()), 1)
        for name, counts, similarity in [*rows, ("all", total, mean)]:
            shares = " | ".join(f"{100 * count / max(int(counts.sum()), 1):.1f}" for count in counts)
            lines.append(f"| {name} | {int(counts.sum())} | {similarity:.3f} | {shares} |")
        lines += ["", "| kind of error | AP without it | gain |", "|---|---|---|"]
        for name, value in self.figures.items():
            lines.append(f"| {name} | {value:.4f} | {value - self.figures['as it is']:+.4f} |")
        lines += [
            "",
            f"{self.matched} of {self.people} people matched; {self.background} detections of nobody;"
            f" {self.misordered} people with a better pose scored lower.",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """Everything as plain JSON values."""
        return {
            "schema": 1,
            "joints": {
                name: {
                    **dict(zip(JOINT_TYPES, map(int, counts), strict=True)),
                    "similarity": None if np.isnan(similarity) else float(similarity),
                }
                for name, counts, similarity in zip(self.joints, self.counts, self.similarity, strict=True)
            },
            "people": self.people,
            "matched": self.matched,
            "background": self.background,
            "misordered": self.misordered,
            "figures": self.figures,
        }


def diagnose(
    ground_truth: GroundTruth,
    detections: Detections,
    dataset: str = "crowdpose",
    skeleton: Skeleton | str | os.PathLike[str] | None = None,
) -> Diagnosis:
    """Sort the errors of detections into kinds.

    After Ronchi & Perona, "Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation", ICCV 2017.

    Detections are matched to people greedily, best score first, at an OKS of at least 0.1. A joint is good
    with a keypoint similarity of at least 0.85 to its own place and jitters from 0.5. Otherwise it is an
    inversion near its mirror image on the same person, a swap near the same joint or its mirror image on
    someone else (whichever is nearer, at least 0.5), and else a miss.

    Args:
        ground_truth, detections, dataset, skeleton: as for `score`.

    Raises:
        InputError: unreadable or inconsistent input.
    """
    layout = Skeleton.load(skeleton or dataset)
    truth = read_ground_truth(ground_truth, layout)
    prepare_truth(truth, dataset)
    images = _images(truth, read_detections(detections, truth, layout), dataset, layout)
    counts = np.zeros((layout.num_joints, len(JOINT_TYPES)), np.int64)
    total = np.zeros(layout.num_joints)
    for image in images:
        meant = image.kinds[image.owner >= 0]
        for kind in range(len(JOINT_TYPES)):
            counts[:, kind] += (meant == kind).sum(axis=0)
        total += (image.joint_similarity * (image.kinds >= 0))[image.owner >= 0].sum(axis=0)
    labelled = counts.sum(axis=1)
    return Diagnosis(
        joints=layout.joints,
        counts=counts,
        similarity=np.divide(total, labelled, out=np.full(len(total), np.nan), where=labelled > 0),
        people=sum(len(image.poses) for image in images),
        matched=sum(int((image.owner >= 0).sum()) for image in images),
        background=sum(int((image.similarity.max(axis=1, initial=0) < LOCALISED).sum()) for image in images),
        misordered=sum(_misordered(image) for image in images),
        figures=_figures(truth, images, dataset, layout),
    )


def _images(truth: Record, found: list[Record], dataset: str, skeleton: Skeleton) -> list[ImageErrors]:
    people: dict[int, list[Record]] = {image["id"]: [] for image in truth["images"]}
    detected: dict[int, list[Record]] = {image["id"]: [] for image in truth["images"]}
    for record in truth["annotations"]:
        if record["num_keypoints"] > 0 and not record["iscrowd"]:
            people[record["image_id"]].append(record)
    for record in found:
        detected[record["image_id"]].append(record)
    return [compare(people[i], detected[i], dataset, skeleton) for i in people]


def _misordered(image: ImageErrors) -> int:
    """People for whom a lower-scored detection, which means nobody else, is the better pose."""
    spare = image.owner < 0
    count = 0
    for index, person in enumerate(image.owner):
        rivals = spare & (np.arange(len(image.owner)) > index) if person >= 0 else spare & False
        if rivals.any() and image.similarity[rivals, person].max() > image.similarity[index, person]:
            count += 1
    return count


def _figures(
    truth: Record, images: Sequence[ImageErrors], dataset: str, skeleton: Skeleton
) -> dict[str, float]:
    """AP as it is and with each kind of error mended alone."""

    def ap(found: list[Record]) -> float:
        return score(truth, found, dataset, "faster-coco-eval", skeleton)["AP"]

    figures = {"as it is": ap([record for image in images for record in image.found])}
    for kind in JOINT_TYPES[1:]:
        figures[kind] = ap([record for image in images for record in _mended(image, JOINT_TYPES.index(kind))])
    rescored, clean = [], []
    for image in images:
        best = image.similarity.max(axis=1, initial=0)
        rescored += [
            {**record, "score": float(value)} for record, value in zip(image.found, best, strict=True)
        ]
        clean += [record for record, value in zip(image.found, best, strict=True) if value >= LOCALISED]
    return {**figures, "score": ap(rescored), "background": ap(clean)}


def _mended(image: ImageErrors, kind: int) -> list[Record]:
    """The detections with the joints of one kind of error put in their right place."""
    mended = []
    for record, person, kinds in zip(image.found, image.owner, image.kinds, strict=True):
        keypoints = np.array(record["keypoints"], float).reshape(-1, 3)
        wrong = kinds == kind
        if wrong.any():
            keypoints[wrong, :2] = image.poses[person, wrong, :2]
        mended.append({**record, "keypoints": keypoints.ravel().tolist()})
    return mended
