"""Making one batch: read and warp each image straight into the batch's arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InputError
from .compact import CompactBatch
from .dataset import PoseDataset
from .faults import Skipped
from .images import UInt8Image
from .masks import loss_mask
from .masks import visible_joints
from .options import AugmentOptions
from .plan import BatchPlan
from .plan import Draw
from .records import BoolArray
from .records import FloatArray
from .transforms import sample
from .transforms import warp_image
from .transforms import warp_keypoints

_People: TypeAlias = tuple[npt.NDArray[np.float32], BoolArray]


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of a step, the same one in whatever process it runs.

    Attributes:
        dataset: what the plan's indices point into.
        plan: which images a step sees.
        augment: the augmentation's ranges.
        sigma: of the heatmaps; no region is masked within 3 sigma of a labelled joint.
    """

    dataset: PoseDataset
    plan: BatchPlan
    augment: AugmentOptions
    sigma: float

    def __call__(self, step: int, resolution: int) -> CompactBatch:
        """The batch of `step` at `resolution`.

        Raises:
            InputError: an image cannot be read, and the data set does not skip such.
        """
        draws = self.plan.draws(step)
        count, quarter, half = len(draws), resolution // 4, resolution // 2
        images = np.empty((count, resolution, resolution, 3), dtype=np.uint8)
        masks_quarter = np.empty((count, quarter, quarter), dtype=np.uint8)
        masks_half = np.empty((count, half, half), dtype=np.uint8)
        people: list[_People] = []
        image_ids: list[int] = []
        skipped: list[Skipped] = []
        for row, draw in enumerate(draws):
            index, image = self._read(draw, skipped)
            record = self.dataset.records[index]
            height, width = image.shape[:2]
            augmentation = sample(self.plan.rng(draw), width, height, resolution, self.augment)
            warp_image(image, augmentation, out=images[row])
            keypoints = warp_keypoints(record.keypoints, augmentation, self.dataset.skeleton.flip)
            people.append(_present(keypoints, record.crowd, resolution))
            for masks, side in ((masks_quarter, quarter), (masks_half, half)):
                factor = side / resolution
                scaled = keypoints * np.array([factor, factor, 1.0])
                masks[row] = loss_mask(scaled, record.ignore, augmentation.matrix * factor, side, self.sigma)
            image_ids.append(record.image_id)
        joints, tagged = _stacked(people, self.dataset.skeleton.num_joints)
        return CompactBatch(
            images=torch.from_numpy(images),
            joints=torch.from_numpy(joints),
            tagged=torch.from_numpy(tagged),
            masks_quarter=torch.from_numpy(masks_quarter),
            masks_half=torch.from_numpy(masks_half),
            image_ids=torch.tensor(image_ids, dtype=torch.int64),
            step=step,
            resolution=resolution,
            skipped=tuple(skipped),
        )

    def _read(self, draw: Draw, skipped: list[Skipped]) -> tuple[int, UInt8Image]:
        """The drawn image; in place of one that cannot be read, the next that can (`on_error="skip"`)."""
        for offset in range(len(self.dataset)):
            index = (draw.index + offset) % len(self.dataset)
            try:
                return index, self.dataset.read_image(index)
            except InputError as error:
                if self.dataset.on_error != "skip":
                    raise
                record = self.dataset.records[index]
                skipped.append(Skipped(self.dataset.name, f"image {record.image_id}", str(error)))
        raise InputError(f"no image of {self.dataset.name} can be read; the last: {skipped[-1]}")


def _present(keypoints: FloatArray, crowd: BoolArray, resolution: int) -> _People:
    """(P', J, 3) float32 joints and (P',) flags of people with a joint in the crop, single people first."""
    joints = keypoints.astype(np.float32)
    joints[..., 2] = visible_joints(joints, resolution)
    joints[joints[..., 2] == 0] = 0
    order = [i for i in np.argsort(crowd, kind="stable") if joints[i, :, 2].any()]
    return joints[order], ~crowd[order]


def _stacked(people: list[_People], num_joints: int) -> tuple[npt.NDArray[np.float32], BoolArray]:
    """(B, P, J, 3) joints and (B, P) flags, filled up with zeros; P >= 1."""
    longest = max(1, *(len(tagged) for _, tagged in people))
    all_joints = np.zeros((len(people), longest, num_joints, 3), dtype=np.float32)
    all_tagged = np.zeros((len(people), longest), dtype=np.bool_)
    for row, (joints, tagged) in enumerate(people):
        all_joints[row, : len(tagged)] = joints
        all_tagged[row, : len(tagged)] = tagged
    return all_joints, all_tagged
