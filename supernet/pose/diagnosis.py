"""What is wrong with detected poses and their scores: jitter, miss, swap, inversion; as a picture too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .people import Floats, joint_similarity, oks
from .protocols import Protocol, main_metric, open_truth, score
from .results import Detections, GroundTruth, Record, read_detections
from .skeletons import Skeleton

JOINT_TYPES = ("good", "jitter", "inversion", "swap", "miss")
GOOD, NEAR = 0.85, 0.5  # keypoint similarity above which a joint is right, or near some joint
LOCALISED = 0.1  # OKS above which a detection is taken to mean a person
PER_IMAGE = 20  # detections that scoring looks at


@dataclass(eq=False)
class ImageErrors:
    """P people to find and D detections of one image, and what they are to each other.

    Attributes:
        poses: (P, J, 3).  found: the D best detections, best score first.
        similarity: (D, P) OKS.
        owner: (D,) the person each detection means, or -1.
        kinds: (D, J) index into `JOINT_TYPES`, or -1 where nothing is labelled.
        joint_similarity: (D, J) of each joint to its own place; 0 where nothing is labelled.
    """

    poses: Floats
    found: list[Record]
    similarity: Floats
    owner: NDArray[np.intp]
    kinds: NDArray[np.intp]
    joint_similarity: Floats


def compare(people: list[Record], found: list[Record], protocol: Protocol, skeleton: Skeleton) -> ImageErrors:
    """Match the detections of one image to its people, best score first, and sort their joints by error."""
    found = sorted(found, key=lambda record: -record["score"])[:PER_IMAGE]
    shape = (-1, skeleton.num_joints, 3)
    poses = np.array([record["keypoints"] for record in people], float).reshape(shape)
    areas = np.array([protocol.area(record) for record in people], float)
    given = np.array([record["keypoints"] for record in found], float).reshape(shape)
    similarity = oks(given, poses, skeleton.sigmas, areas)
    owner = _owners(similarity)
    near = joint_similarity(given, poses, skeleton.sigmas, areas)
    mirrored = joint_similarity(given, poses[:, list(skeleton.flip)], skeleton.sigmas, areas)
    # No joint is its own mirror image, nor near one that is not labelled.
    middle = np.array([skeleton.flip[joint] == joint for joint in range(skeleton.num_joints)])
    mirrored[..., middle] = 0
    kinds = np.full(given.shape[:2], -1)
    own_similarity = np.zeros(given.shape[:2])
    for index, person in enumerate(owner):
        if person >= 0:
            own_similarity[index] = near[index, person]
            kinds[index] = _kinds(near[index], mirrored[index], person)
            kinds[index, poses[person, :, 2] <= 0] = -1
    return ImageErrors(poses, found, similarity, owner, kinds, own_similarity)


def _owners(similarity: Floats) -> NDArray[np.intp]:
    """(D,) greedily: each detection takes the free person it is most like, or -1."""
    free = np.ones(similarity.shape[1], bool)
    owner = np.full(len(similarity), -1)
    for index, row in enumerate(similarity):
        if free.any():
            person = int(np.where(free, row, -1).argmax())
            if row[person] >= LOCALISED:
                owner[index], free[person] = person, False
    return owner


def _kinds(near_pj: Floats, mirrored_pj: Floats, person: int) -> NDArray[np.intp]:
    own, inverted = near_pj[person], mirrored_pj[person]
    others = np.arange(len(near_pj)) != person
    swapped = np.maximum(near_pj[others], mirrored_pj[others]).max(axis=0, initial=0)
    elsewhere = np.where(inverted >= swapped, JOINT_TYPES.index("inversion"), JOINT_TYPES.index("swap"))
    lost = np.where(np.maximum(inverted, swapped) >= NEAR, elsewhere, JOINT_TYPES.index("miss"))
    near = np.where(own >= GOOD, JOINT_TYPES.index("good"), JOINT_TYPES.index("jitter"))
    return np.where(own >= NEAR, near, lost)


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
        metrics: AP "as it is", and what it would be with one kind of error mended: "jitter", "inversion",
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
    metrics: dict[str, float]

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
        for name, value in self.metrics.items():
            lines.append(f"| {name} | {value:.4f} | {value - self.metrics['as it is']:+.4f} |")
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
            "metrics": self.metrics,
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
    protocol, layout, truth = open_truth(ground_truth, dataset, skeleton)
    images = _images(truth, read_detections(detections, truth, layout), protocol, layout)
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
        metrics=_metrics(truth, images, dataset, layout),
    )


def _images(truth: Record, found: list[Record], protocol: Protocol, skeleton: Skeleton) -> list[ImageErrors]:
    people: dict[int, list[Record]] = {image["id"]: [] for image in truth["images"]}
    detected: dict[int, list[Record]] = {image["id"]: [] for image in truth["images"]}
    for record in truth["annotations"]:
        if record["num_keypoints"] > 0 and not record["iscrowd"]:
            people[record["image_id"]].append(record)
    for record in found:
        detected[record["image_id"]].append(record)
    return [compare(people[i], detected[i], protocol, skeleton) for i in people]


def _misordered(image: ImageErrors) -> int:
    """People for whom a lower-scored detection, which means nobody else, is the better pose."""
    spare = image.owner < 0
    count = 0
    for index, person in enumerate(image.owner):
        rivals = spare & (np.arange(len(image.owner)) > index) if person >= 0 else spare & False
        if rivals.any() and image.similarity[rivals, person].max() > image.similarity[index, person]:
            count += 1
    return count


def _metrics(
    truth: Record, images: Sequence[ImageErrors], dataset: str, skeleton: Skeleton
) -> dict[str, float]:
    """The protocol's first metric (AP) as it is and with each kind of error mended alone."""

    def ap(found: list[Record]) -> float:
        return main_metric(score(truth, found, dataset, skeleton=skeleton))[1]

    metrics = {"as it is": ap([record for image in images for record in image.found])}
    for kind in JOINT_TYPES[1:]:
        metrics[kind] = ap([record for image in images for record in _mended(image, JOINT_TYPES.index(kind))])
    rescored, clean = [], []
    for image in images:
        best = image.similarity.max(axis=1, initial=0)
        rescored += [
            {**record, "score": float(value)} for record, value in zip(image.found, best, strict=True)
        ]
        clean += [record for record, value in zip(image.found, best, strict=True) if value >= LOCALISED]
    return {**metrics, "score": ap(rescored), "background": ap(clean)}


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


COLOURS = {
    "good": "#4c9f70",
    "jitter": "#f2c14e",
    "inversion": "#5f7adb",
    "swap": "#b565c4",
    "miss": "#c8473d",
    "score": "#8a8d91",
    "background": "#4d5156",
}


def plot_diagnosis(diagnosis: Diagnosis, path: str | os.PathLike[str], title: str = "") -> None:
    """Write a picture (.png, .svg, .pdf): error shares per joint, and the AP that each kind of error costs.

    Raises:
        OSError: it cannot be written there.
    """
    from matplotlib.figure import Figure

    from ..runs.files import atomic_path

    figure = Figure(figsize=(11, 0.3 * len(diagnosis.joints) + 2), layout="constrained")
    shares, gains = figure.subplots(1, 2, width_ratios=(3, 2))
    total = diagnosis.counts.sum(axis=1).clip(min=1)
    left = 0 * total
    names = [name.replace("_", " ") for name in diagnosis.joints]
    for kind, counts in zip(JOINT_TYPES, diagnosis.counts.T, strict=True):
        width = 100 * counts / total
        shares.barh(names, width, left=left, color=COLOURS[kind], label=kind)
        left = left + width
    shares.invert_yaxis()
    shares.set(xlim=(0, 100), xlabel="share of labelled joints of matched people (%)")
    shares.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=len(JOINT_TYPES), frameon=False)
    base = diagnosis.metrics["as it is"]
    kinds = [kind for kind in diagnosis.metrics if kind != "as it is"]
    bars = gains.barh(
        kinds, [diagnosis.metrics[kind] - base for kind in kinds], color=[COLOURS[kind] for kind in kinds]
    )
    gains.bar_label(bars, fmt="%+.3f", padding=3)
    gains.margins(x=0.18)
    gains.axvline(0, color="black", linewidth=0.8)
    gains.invert_yaxis()
    gains.set(xlabel=f"AP gained without it (AP is {base:.3f})")
    for axes in (shares, gains):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    with atomic_path(Path(path)) as temporary:
        figure.savefig(temporary, dpi=120)
