"""Grouping at full image resolution, written out from its definition: slow, and what the fast decoder must
match.

Every map is enlarged to the network's input size; 5x5 max-pool suppression; the top 30 of each joint above
0.1; Hungarian matching on round(distance) * 100 - score with tag threshold 1; quarter-pixel shift; missing
joints taken from the whole tag map; person score = mean over all joints before that.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from supernet.pose import Skeleton


def merge(
    passes: list[list[np.ndarray]], skeleton: Skeleton, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Averaged heatmaps (J, H, W) and stacked tags (J, H, W, T) at `size` (W, H), from plain and flipped
    outputs.
    """
    joints, flip = skeleton.num_joints, list(skeleton.flip)
    heats, tags = [], []
    for index, (quarter, half) in enumerate(passes):
        heat4, tag4, heat2 = quarter[:joints], quarter[joints:], half
        if index == 1:
            heat4, tag4, heat2 = (part[flip, :, ::-1] for part in (heat4, tag4, heat2))
        half_size = half.shape[:0:-1]
        heats.append((enlarge(heat4, half_size) + heat2) / 2)
        tags.append(enlarge(tag4, size))
    return enlarge(np.mean(heats, axis=0), size), np.stack(tags, axis=-1)


def enlarge(maps: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Bilinear, pixel centres at i + 0.5."""
    return np.stack([cv2.resize(np.ascontiguousarray(plane, np.float32), size) for plane in maps])


def decode(
    heat: np.ndarray, tags: np.ndarray, skeleton: Skeleton, window: int = 5, refine: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (P, J, 3) and scores (P,) of one image, in the order in which people were founded."""
    people = group(heat, tags, skeleton, window)
    scores = np.array([pose[:, 2].mean() for pose, _ in people])
    poses = [adjust(heat, pose) for pose, _ in people]
    if refine:
        poses = [fill(heat, tags, pose, tag) for pose, (_, tag) in zip(poses, people, strict=True)]
    return np.array(poses).reshape(-1, skeleton.num_joints, 3), scores


def top(heat: np.ndarray, window: int, most: int = 30) -> list[tuple[int, int, float]]:
    """(row, column, value) of the local maxima of one heatmap, highest first."""
    highest = cv2.dilate(heat, np.ones((window, window), np.uint8))  # max-pool, stride 1
    kept = np.where(heat == highest, heat, 0)
    order = np.argsort(-kept.ravel(), kind="stable")[:most]
    return [(int(i // heat.shape[1]), int(i % heat.shape[1]), float(kept.ravel()[i])) for i in order]


def group(
    heat: np.ndarray, tags: np.ndarray, skeleton: Skeleton, window: int, most: int = 30
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(pose (J, 3) of column, row, value, mean tag (T,)) of every person."""
    poses: list[np.ndarray] = []
    members: list[list[np.ndarray]] = []
    for joint in skeleton.order:
        found = [peak for peak in top(heat[joint], window, most) if peak[2] > 0.1]
        own = [tags[joint, row, column] for row, column, _ in found]
        count = min(len(poses), most)
        partner = [-1] * len(found)
        if found and count:
            distance = np.array(
                [[np.linalg.norm(tag - np.mean(members[k], axis=0)) for k in range(count)] for tag in own]
            )
            cost = np.round(distance) * 100 - np.array([[peak[2]] for peak in found])
            for row, column in zip(*linear_sum_assignment(cost), strict=True):
                if distance[row, column] < 1:
                    partner[row] = column
        for (row, column, value), tag, who in zip(found, own, partner, strict=True):
            if who < 0:
                poses.append(np.zeros((skeleton.num_joints, 3)))
                members.append([])
                who = len(poses) - 1
            poses[who][joint] = column, row, value
            members[who].append(tag)
    return [(pose, np.mean(own, axis=0)) for pose, own in zip(poses, members, strict=True)]


def adjust(heat: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Pixel indices to continuous places: a quarter pixel towards the higher neighbour, plus half a pixel."""
    moved = pose.copy()
    for joint, (column, row, value) in enumerate(pose):
        if value > 0:
            moved[joint, :2] = shift(heat[joint], int(row), int(column))
    return moved


def shift(heat: np.ndarray, row: int, column: int) -> tuple[float, float]:
    bottom, right = heat.shape[0] - 1, heat.shape[1] - 1
    below, above = heat[min(row + 1, bottom), column], heat[max(row - 1, 0), column]
    after, before = heat[row, min(column + 1, right)], heat[row, max(column - 1, 0)]
    return column + (0.25 if after > before else -0.25) + 0.5, row + (0.25 if below > above else -0.25) + 0.5


def fill(heat: np.ndarray, tags: np.ndarray, pose: np.ndarray, tag: np.ndarray) -> np.ndarray:
    """Missing joints from the pixel with the highest heat - round(distance), over the whole map."""
    filled = pose.copy()
    for joint in range(len(pose)):
        if pose[joint, 2] == 0:
            distance = np.sqrt(((tags[joint] - tag) ** 2).sum(axis=-1))
            row, column = np.unravel_index((heat[joint] - np.round(distance)).argmax(), heat[joint].shape)
            if heat[joint, row, column] > 0:
                x, y = shift(heat[joint], int(row), int(column))
                filled[joint] = x, y, heat[joint, row, column]
    return filled
