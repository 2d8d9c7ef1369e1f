"""Training targets, made at the resolution of the step and never resized.

Gaussians are centred on the joint itself, not on its pixel's centre (as in DARK, Zhang et al. 2020,
section 3.3: a rounded centre teaches a bias of up to half a pixel, which at 1/4 scale is two image
pixels). The pixel that holds the joint is the peak all the same; its value is at least exp(-1 / (4
sigma^2)), 0.94 for sigma 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .records import FloatArray
from .records import IntArray
from .records import Region
from .regions import ignore_mask

# Gaussians end at this many standard deviations (value 0.011), as in HigherHRNet's and LitePose's targets.
CUT = 3.0


def visible_joints(keypoints: FloatArray, side: int) -> npt.NDArray[np.bool_]:
    """(P, J) whether a joint is labelled and lies on the map of `side` pixels; keypoints in map
    coordinates.
    """
    inside = np.logical_and(keypoints[..., :2] >= 0, keypoints[..., :2] < side).all(axis=-1)
    return np.asarray(inside & (keypoints[..., 2] > 0))


def draw_heatmaps(
    keypoints: FloatArray, side: int, sigma: float, out: npt.NDArray[np.float32] | None = None
) -> npt.NDArray[np.float32]:
    """(J, side, side) float32 heatmaps: per joint the maximum over people of exp(-distance^2 / (2 sigma^2)).

    Args:
        keypoints: (P, J, 3) x, y, v in map coordinates (pixel i spans [i, i+1)); v = 0 and joints off the map
            are left out.
        side: the map's side in pixels.
        sigma: in pixels of the map.
        out: zeros to draw on, e.g. a slice of a batch.
    """
    num_joints = keypoints.shape[1]
    heats = np.zeros((num_joints, side, side), dtype=np.float32) if out is None else out
    person, joint = np.nonzero(visible_joints(keypoints, side))
    centres = keypoints[person, joint, :2]
    radius = _radius(sigma)
    first = np.floor(centres).astype(np.int64) - radius
    steps = np.arange(2 * radius + 1)
    # Distances from each pixel's centre, per axis: the Gaussian is separable.
    distance = first[:, :, None] + steps + 0.5 - centres[:, :, None]
    curve = np.exp(distance**2 * (-0.5 / sigma**2)).astype(np.float32)
    patches = curve[:, 1, :, None] * curve[:, 0, None, :]
    low = np.maximum(first, 0)
    high = np.minimum(first + 2 * radius + 1, side)
    bounds = np.concatenate([low, high, low - first, high - first], axis=1).tolist()
    for index, j, (x0, y0, x1, y1, u0, v0, u1, v1) in zip(
        range(len(joint)), joint.tolist(), bounds, strict=True
    ):
        place = heats[j, y0:y1, x0:x1]
        np.maximum(place, patches[index, v0:v1, u0:u1], out=place)
    return heats


def loss_mask(
    keypoints: FloatArray, regions: Sequence[Region], matrix: FloatArray, side: int, sigma: float
) -> npt.NDArray[np.float32]:
    """(side, side) float32, 1 where the heatmap loss counts and 0 on unlabelled people and crowds.

    A labelled joint inside such a region still counts, with its whole Gaussian: CrowdPose's regions are
        boxes, and
    in its val split 2,010 labelled joints of other people lie inside them. Outside of the image the loss
    counts: there is certainly nobody in the padding, and test images have padding too.

    Args:
        keypoints: (P, J, 3) in map coordinates.
        regions: in image coordinates.
        matrix: 2x3, image to map coordinates.
    """
    if not regions:
        return np.ones((side, side), dtype=np.float32)
    mask = ignore_mask(regions, matrix, side).astype(np.float32)
    radius = _radius(sigma)
    joints = keypoints[visible_joints(keypoints, side), :2]
    for x, y in np.floor(joints).astype(np.int64).tolist():
        mask[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = 1.0
    return mask


def joint_positions(keypoints: FloatArray, side: int, people: int) -> IntArray:
    """(people, J, 3) int64 for the tag loss: the column and row of each joint's pixel, and 1 if it is
    there, else 0.

    People without any joint on the map are dropped, so P' <= P rows are used; the rest are zeros.

    Args:
        keypoints: (P, J, 3) in map coordinates.
        side: the map's side in pixels.
        people: length of the people axis; when more are on the map the array is that much longer.
    """
    seen = visible_joints(keypoints, side)
    present = seen.any(axis=1)
    count = int(present.sum())
    found = np.zeros((max(people, count), keypoints.shape[1], 3), dtype=np.int64)
    flags = seen[present]
    found[:count, :, :2] = np.where(flags[..., None], np.floor(keypoints[present, :, :2]), 0)
    found[:count, :, 2] = flags
    return found


def _radius(sigma: float) -> int:
    return int(np.ceil(CUT * sigma))
