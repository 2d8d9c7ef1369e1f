"""Making one batch: read, warp and draw each image straight into the batch's arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ..errors import InputError
from .batch import Batch
from .dataset import PoseDataset
from .faults import Skipped
from .images import UInt8Image
from .options import AugmentOptions
from .options import LoaderOptions
from .plan import BatchPlan
from .plan import Draw
from .records import FloatArray
from .records import IntArray
from .targets import draw_heatmaps
from .targets import joint_positions
from .targets import loss_mask
from .transforms import Augmentation
from .transforms import sample
from .transforms import warp_image
from .transforms import warp_keypoints


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of a step, the same one in whatever process it runs.

    Attributes:
        dataset: what the plan's indices point into.
        plan: which images a step sees.
        augment: the augmentation's ranges.
        options: target options.
    """

    dataset: PoseDataset
    plan: BatchPlan
    augment: AugmentOptions
    options: LoaderOptions

    def __call__(self, step: int, resolution: int) -> Batch:
        """The batch of `step` at `resolution`.

        Raises:
            InputError: an image cannot be read, and the data set does not skip such.
        """
        draws = self.plan.draws(step)
        num_joints = self.dataset.skeleton.num_joints
        count, quarter, half = len(draws), resolution // 4, resolution // 2
        images = np.empty((count, resolution, resolution, 3), dtype=np.uint8)
        heats_quarter = np.zeros((count, num_joints, quarter, quarter), dtype=np.float32)
        heats_half = np.zeros((count, num_joints, half, half), dtype=np.float32)
        masks_quarter = np.empty((count, quarter, quarter), dtype=np.float32)
        masks_half = np.empty((count, half, half), dtype=np.float32)
        joints: list[IntArray] = []
        image_ids: list[int] = []
        skipped: list[Skipped] = []
        for row, draw in enumerate(draws):
            index, image = self._read(draw, skipped)
            record = self.dataset.records[index]
            height, width = image.shape[:2]
            augmentation = sample(self.plan.rng(draw), width, height, resolution, self.augment)
            images[row] = warp_image(image, augmentation)
            keypoints = warp_keypoints(record.keypoints, augmentation, self.dataset.skeleton.flip)
            for side, heats, masks in (
                (quarter, heats_quarter[row], masks_quarter),
                (half, heats_half[row], masks_half),
            ):
                scaled, matrix = _at_scale(keypoints, augmentation, side)
                draw_heatmaps(scaled, side, self.options.sigma, out=heats)
                masks[row] = loss_mask(scaled, record.ignore, matrix, side, self.options.sigma)
            people = _at_scale(keypoints[~record.crowd], augmentation, quarter)[0]
            joints.append(joint_positions(people, quarter, self.options.max_people))
            image_ids.append(record.image_id)
        return Batch(
            images=torch.from_numpy(images),
            heats_quarter=torch.from_numpy(heats_quarter),
            heats_half=torch.from_numpy(heats_half),
            masks_quarter=torch.from_numpy(masks_quarter),
            masks_half=torch.from_numpy(masks_half),
            joints=torch.from_numpy(_stacked(joints, self.options.max_people)),
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


def _at_scale(keypoints: FloatArray, augmentation: Augmentation, side: int) -> tuple[FloatArray, FloatArray]:
    """Crop keypoints and the image-to-crop matrix in the coordinates of a map of `side` pixels."""
    factor = side / augmentation.resolution
    return keypoints * np.array([factor, factor, 1.0]), augmentation.matrix * factor


def _stacked(joints: list[IntArray], max_people: int) -> IntArray:
    """(B, P, J, 3), P the smallest multiple of `max_people` that holds everybody."""
    longest = max(len(people) for people in joints)
    length = -(-longest // max_people) * max_people
    batch = np.zeros((len(joints), length, *joints[0].shape[1:]), dtype=np.int64)
    for row, people in enumerate(joints):
        batch[row, : len(people)] = people
    return batch
