"""The people found in one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


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
