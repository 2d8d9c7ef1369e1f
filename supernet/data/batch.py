"""One training batch as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields
from dataclasses import replace
from typing import Any

import torch

from ..pose.preprocess import IMAGE_MEAN
from ..pose.preprocess import IMAGE_STD
from .faults import Skipped


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's images and targets; H = W is the step's resolution, a multiple of 4.

    Attributes:
        images: (B, H, W, 3) uint8 RGB; `normalise` makes network input of it.
        heats_quarter, heats_half: (B, J, H/4, W/4) and (B, J, H/2, W/2) float32 heatmaps in 0..1.
        masks_quarter, masks_half: (B, H/4, W/4) and (B, H/2, W/2) float32, 1 where the heatmap loss counts.
        joints: (B, P, J, 3) int64 column and row of each joint's pixel at 1/4 scale, and 1 if it is there,
            else 0 (its column and row are 0 then); unused rows of the people axis are zeros.
        image_ids: (B,) int64.
        step: the step that this batch belongs to.
        resolution: H = W in pixels.
        skipped: images that could not be read and were replaced by the next one (`on_error="skip"`).
    """

    images: torch.Tensor
    heats_quarter: torch.Tensor
    heats_half: torch.Tensor
    masks_quarter: torch.Tensor
    masks_half: torch.Tensor
    joints: torch.Tensor
    image_ids: torch.Tensor
    step: int
    resolution: int
    skipped: tuple[Skipped, ...] = ()

    def to(self, device: torch.device | str) -> Batch:
        """The batch with its tensors on `device`."""
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in self.tensors().items()}
        return replace(self, **moved)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}


def normalise(images_bhwc: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Network input (B, 3, H, W) of `images_bhwc` (B, H, W, 3) uint8 RGB, in channels_last memory format.

    RGB / 255, minus the ImageNet mean, over its standard deviation.
    """
    mean = torch.tensor(IMAGE_MEAN, device=images_bhwc.device)
    std = torch.tensor(IMAGE_STD, device=images_bhwc.device)
    scaled = images_bhwc.to(torch.float32).mul_(1.0 / (255.0 * std)).sub_(mean / std)
    return scaled.to(dtype).permute(0, 3, 1, 2)
