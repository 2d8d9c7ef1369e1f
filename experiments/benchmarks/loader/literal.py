"""The training input of one image as the usual bottom-up recipes make it: the yardstick of this benchmark.

Image and both loss masks are each warped (masks always, as float images), Gaussians are centred on rounded
joints and pasted one by one from a precomputed 13x13 patch, tags take flat indices, and the image is
normalised to float CHW.
"""

from __future__ import annotations

import cv2
import numpy as np

from supernet.data import PoseDataset
from supernet.data.transforms import Augmentation, pixel_centre_matrix

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


class LiteralPipeline:
    """Makes (image CHW float32, heatmaps, masks, joint indices) for both scales."""

    def __init__(self, dataset: PoseDataset, sigma: float = 2.0, max_people: int = 30) -> None:
        self.dataset = dataset
        self.max_people = max_people
        self.reach = int(3 * sigma)
        axis = np.arange(-self.reach, self.reach + 1)
        self.patch = np.exp(-(axis[None] ** 2 + axis[:, None] ** 2) / (2 * sigma**2)).astype(np.float32)

    def __call__(
        self, index: int, augmentation: Augmentation
    ) -> tuple[np.ndarray, list[np.ndarray], list, list]:
        image = cv2.imread(self.dataset.image_name(index), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        record = self.dataset.records[index]
        side = augmentation.resolution
        mask = np.ones(image.shape[:2], np.float32)
        warped = cv2.warpAffine(image, pixel_centre_matrix(augmentation.matrix), (side, side))
        heats, masks, indices = [], [], []
        for scale in (4, 2):
            matrix = augmentation.matrix / scale
            size = side // scale
            moved = cv2.warpAffine((mask * 255).astype(np.uint8), pixel_centre_matrix(matrix), (size, size))
            masks.append((moved / 255 > 0.5).astype(np.float32))
            points = record.keypoints.copy()
            if augmentation.flip:
                points = points[:, list(self.dataset.skeleton.flip)]
            points[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
            heats.append(self.heatmaps(points, size))
            indices.append(self.indices(points, size))
        ready = (warped.astype(np.float32) / 255 - MEAN) / STD
        return np.ascontiguousarray(ready.transpose(2, 0, 1)), heats, masks, indices

    def heatmaps(self, points: np.ndarray, size: int) -> np.ndarray:
        maps = np.zeros((points.shape[1], size, size), np.float32)
        reach = self.reach
        for person in points:
            for joint, (x, y, v) in enumerate(person):
                column, row = int(x), int(y)
                if v <= 0 or x < 0 or y < 0 or column >= size or row >= size:
                    continue
                left, top = max(0, column - reach), max(0, row - reach)
                right, bottom = min(size, column + reach + 1), min(size, row + reach + 1)
                part = self.patch[top - row + reach : bottom - row + reach]
                part = part[:, left - column + reach : right - column + reach]
                maps[joint, top:bottom, left:right] = np.maximum(maps[joint, top:bottom, left:right], part)
        return maps

    def indices(self, points: np.ndarray, size: int) -> np.ndarray:
        found = np.zeros((self.max_people, points.shape[1], 2), np.int64)
        for p, person in enumerate(points):
            total = 0
            for joint, (x, y, v) in enumerate(person):
                if v > 0 and 0 <= x < size and 0 <= y < size:
                    found[p, total] = (joint * size * size + int(y) * size + int(x), 1)
                    total += 1
        return found
