"""The people found in one image, their keypoint similarity, and suppression of duplicates by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
# Of a person's box, CrowdPose takes so much for the person (crowdposetools).
AREA_OF_BOX = 0.53


@dataclass(frozen=True, eq=False)
class People:
    """P people of one image, best score first.

    Attributes:
        keypoints: (P, J, 3) float32: x, y, score. x and y are continuous: pixel i spans [i, i+1). A joint
            that was not found is 0, 0, 0.
        tags: (P, T) float32, the mean associative-embedding tag of each person.
        scores: (P,) float32, the mean over all J joints of the heatmap values that grouping found (0 where it
            found none), before refinement fills the gaps.
    """

    keypoints: Floats
    tags: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.scores)

    def select(self, index: Any) -> People:
        """The people that `index` (integers, booleans or a slice) picks, in its order."""
        return People(self.keypoints[index], self.tags[index], self.scores[index])

    def moved(self, scale: float | tuple[float, float], offset: tuple[float, float]) -> People:
        """The same people with x, y replaced by `(x, y) * scale + offset`; joints not found stay 0, 0, 0."""
        keypoints = self.keypoints.copy()
        keypoints[..., :2] *= np.asarray(scale, np.float32)
        keypoints[..., :2] += np.asarray(offset, np.float32)
        keypoints[self.keypoints[..., 2] == 0] = 0
        return People(keypoints, self.tags, self.scores)


def joint_similarity(keypoints: Floats, others: Floats, sigmas: Sequence[float], areas: Floats) -> Floats:
    """(P, Q, J) similarity exp(-d^2 / (2 area (2 sigma)^2)) of each joint of `keypoints` to that of `others`.

    0 where the joint of `others` is not labelled (third value 0). Arguments as for `oks`.
    """
    square = ((keypoints[:, None, :, :2] - others[None, :, :, :2]) ** 2).sum(axis=-1)
    variance = (2 * np.asarray(sigmas)) ** 2
    similar = np.exp(-square / (2 * (np.asarray(areas)[None, :, None] + np.spacing(1)) * variance))
    return np.asarray(similar * (others[None, ..., 2] > 0))


def oks(keypoints: Floats, others: Floats, sigmas: Sequence[float], areas: Floats) -> Floats:
    """(P, Q) OKS of poses `keypoints` (P, J, 3) against `others` (Q, J, 3) as the ground truth.

    Averages over the joints of `others` whose third value is positive; 0 where there are none. The formula
    of Lin et al., "Microsoft COCO": mean of exp(-d^2 / (2 area (2 sigma)^2)).

    Args:
        areas: (Q,) object areas of `others`, in the square of the coordinates' unit.
    """
    similar = joint_similarity(keypoints, others, sigmas, areas)
    labelled = (others[..., 2] > 0).sum(axis=-1)
    return np.asarray(similar.sum(axis=-1) / np.maximum(labelled, 1))


def joint_boxes(keypoints: Floats) -> Floats:
    """(P, 4) x, y, width, height of the boxes around the joints with positive third value; 0 without any."""
    found = keypoints[..., 2:] > 0
    lowest = np.where(found, keypoints[..., :2], np.inf).min(axis=1, initial=np.inf)
    highest = np.where(found, keypoints[..., :2], -np.inf).max(axis=1, initial=-np.inf)
    anything = found.any(axis=1)
    low, size = np.where(anything, lowest, 0), np.where(anything, highest, 0)
    return np.concatenate([low, size - low], axis=1)


def pose_areas(keypoints: Floats) -> Floats:
    """(P,) areas of the boxes around the joints with positive third value, times `AREA_OF_BOX`."""
    sides = joint_boxes(keypoints)[:, 2:]
    return np.asarray(AREA_OF_BOX * sides[:, 0] * sides[:, 1])


def suppress(
    keypoints: Floats, scores: Floats, sigmas: Sequence[float], threshold: float
) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Indices of the people to keep, best score first: none has an OKS above `threshold` with a better one
    kept.

    Args:
        keypoints: (P, J, 3).  scores: (P,).  threshold: 0..1, usually 0.9.
    """
    order = np.argsort(-scores, kind="stable")
    similarity = oks(keypoints, keypoints, sigmas, pose_areas(keypoints))
    kept: list[int] = []
    for person in order:
        if all(similarity[person, better] <= threshold for better in kept):
            kept.append(int(person))
    return np.asarray(kept, np.intp)
