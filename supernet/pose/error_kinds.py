"""The kind of error of every joint of an image's detections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .oks import joint_similarity
from .oks import oks
from .people import Floats
from .results import Record
from .scoring import area
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


def compare(people: list[Record], found: list[Record], dataset: str, skeleton: Skeleton) -> ImageErrors:
    """Match the detections of one image to its people, best score first, and sort their joints by error."""
    found = sorted(found, key=lambda record: -record["score"])[:PER_IMAGE]
    shape = (-1, skeleton.num_joints, 3)
    poses = np.array([record["keypoints"] for record in people], float).reshape(shape)
    areas = np.array([area(record, dataset) for record in people], float)
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
