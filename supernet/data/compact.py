"""A batch as the loader's workers send it: joints in place of their heatmaps.

Heatmaps are 85% of a dense batch. Moving them between processes costs more than all else that a worker
does (7.0 ms an image at 512 against 5.6, experiments/benchmarks/loader), and they can be drawn where they
are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .batch import Batch
from .faults import Skipped
from .targets import draw_heatmaps
from .targets import joint_positions


@dataclass(frozen=True, eq=False)
class CompactBatch:
    """What a `Batch` is made of; fields that both have are the same.

    Attributes:
        joints: (B, P, J, 3) float32 x, y in crop pixels and 1 if labelled and in the crop, else 0; P is
            the largest number of people with such joints in any image of the batch.
        tagged: (B, P) bool, who is one person and not a crowd.
        masks_quarter, masks_half: (B, H/4, W/4) and (B, H/2, W/2) uint8.
    """

    images: Tensor
    joints: Tensor
    tagged: Tensor
    masks_quarter: Tensor
    masks_half: Tensor
    image_ids: Tensor
    step: int
    resolution: int
    skipped: tuple[Skipped, ...] = ()

    def to(self, device: torch.device | str) -> CompactBatch:
        """The batch on `device`; from page-locked memory the copy overlaps with other work."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> CompactBatch:
        """The batch in page-locked memory."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def dense(self, sigma: float, max_people: int) -> Batch:
        """The batch with its targets drawn, on the device where it is."""
        quarter, half = self.resolution // 4, self.resolution // 2
        joints_quarter = self.joints * torch.tensor([0.25, 0.25, 1.0], device=self.joints.device)
        joints_half = self.joints * torch.tensor([0.5, 0.5, 1.0], device=self.joints.device)
        return Batch(
            images=self.images,
            heats_quarter=draw_heatmaps(joints_quarter, quarter, sigma),
            heats_half=draw_heatmaps(joints_half, half, sigma),
            masks_quarter=self.masks_quarter.float(),
            masks_half=self.masks_half.float(),
            joints=joint_positions(joints_quarter, self.tagged, quarter, max_people),
            image_ids=self.image_ids,
            step=self.step,
            resolution=self.resolution,
            skipped=self.skipped,
        )

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> CompactBatch:
        moved: dict[str, Any] = {n: function(v) for n, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)
