"""Making one batch: read and warp each image straight into the batch's arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InputError
from ..pose.preprocess import IMAGE_MEAN, IMAGE_STD
from .annotations.records import BoolArray, FloatArray, Record, Skipped
from .dataset import PoseDataset
from .images.decode import UInt8Image
from .options import AugmentOptions
from .plan import BatchPlan, Draw
from .targets import loss_mask, visible_joints
from .transforms import Augmentation, mosaic, photograph, sample, warp_image, warp_keypoints


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's images and what their targets are drawn from; of whole images H = W, of crops any shape.

    Attributes:
        images: (B, H, W, 3) uint8 RGB; `normalise` makes network input of it.
        joints: (B, P, J, 3) float32 x, y in crop pixels and 1 if labelled and in the crop, else 0; P is
            the largest number of people with such joints in any image of the batch.
        tagged: (B, P) bool, who is one person and not a crowd.
        masks: by scale s (B, H/s, W/s) uint8, 1 where the heatmap loss counts.
        image_ids: (B,) int64.
        step: the step that this batch belongs to.
        skipped: images that could not be read and were replaced by the next one (`on_error="skip"`).
        labelled: (B, J) bool, which joints the source of each image ever labels, or which are in the crop of
            one person; None where it is all.
    """

    images: Tensor
    joints: Tensor
    tagged: Tensor
    masks: Mapping[int, Tensor]
    image_ids: Tensor
    step: int
    skipped: tuple[Skipped, ...] = ()
    labelled: Tensor | None = None

    @property
    def resolution(self) -> int:
        """H, in whole images also W."""
        return self.images.shape[1]

    def to(self, device: torch.device | str) -> Batch:
        """The batch on `device`; from page-locked memory the copy overlaps with other work."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory."""
        return self._mapped(lambda tensor: tensor.pin_memory())

    def _mapped(self, function: Callable[[Tensor], Tensor]) -> Batch:
        moved: dict[str, Any] = {n: function(v) for n, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, masks={scale: function(mask) for scale, mask in self.masks.items()}, **moved)


def normalise(images_bhwc: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Network input (B, 3, H, W) of `images_bhwc` (B, H, W, 3) uint8 RGB, in channels_last memory format.

    RGB / 255, minus the ImageNet mean, over its standard deviation.
    """
    mean = torch.tensor(IMAGE_MEAN, device=images_bhwc.device)
    std = torch.tensor(IMAGE_STD, device=images_bhwc.device)
    scaled = images_bhwc.to(torch.float32).mul_(1.0 / (255.0 * std)).sub_(mean / std)
    return scaled.to(dtype).permute(0, 3, 1, 2)


class _Piece(NamedTuple):
    """An image in a crop: its (P, J, 3) joints there, and (J,) which joints its source labels."""

    record: Record
    augmentation: Augmentation
    keypoints: FloatArray
    labelled: BoolArray


_People: TypeAlias = tuple[npt.NDArray[np.float32], BoolArray]


@dataclass(frozen=True)
class BatchMaker:
    """Makes the batch of a step, the same one in whatever process it runs.

    Attributes:
        dataset: what the plan's indices point into.
        plan: which images a step sees.
        augment: the augmentation's ranges.
        sigma: of the heatmaps; no region is masked within 3 sigma of a labelled joint.
        scales: of the masks.
        augments: the augmentation's ranges of those sources of a mix that have their own.
    """

    dataset: PoseDataset
    plan: BatchPlan
    augment: AugmentOptions
    sigma: float
    scales: Sequence[int] = (4, 2)
    augments: Mapping[str, AugmentOptions] = field(default_factory=dict)

    def __call__(self, step: int, resolution: int) -> Batch:
        """The batch of `step` at `resolution`.

        Raises:
            InputError: an image cannot be read, and the data set does not skip such.
        """
        draws = self.plan.draws(step)
        count, sides = len(draws), {scale: resolution // scale for scale in self.scales}
        images = np.empty((count, resolution, resolution, 3), dtype=np.uint8)
        masks = {scale: np.empty((count, side, side), dtype=np.uint8) for scale, side in sides.items()}
        people: list[_People] = []
        labelled: list[BoolArray] = []
        image_ids: list[int] = []
        skipped: list[Skipped] = []
        for row, draw in enumerate(draws):
            rng = self.plan.rng(draw)
            augment = self.augments.get(self.dataset.records[draw.index].mixed, self.augment)
            pieces = self._fill(images[row], draw, rng, augment, skipped)
            photograph(images[row], rng, augment)
            keypoints = np.concatenate([piece.keypoints for piece in pieces])
            crowd = np.concatenate([piece.record.crowd for piece in pieces])
            people.append(_present(keypoints, crowd, resolution))
            labelled.append(np.all([piece.labelled for piece in pieces], axis=0))
            ignore = [(piece.record.ignore, piece.augmentation) for piece in pieces]
            for scale, side in sides.items():
                masks[scale][row] = loss_mask(keypoints, ignore, side, self.sigma)
            image_ids.append(pieces[0].record.image_id)
        joints, tagged = _stacked(people, self.dataset.skeleton.num_joints)
        return Batch(
            images=torch.from_numpy(images),
            joints=torch.from_numpy(joints),
            tagged=torch.from_numpy(tagged),
            masks={scale: torch.from_numpy(mask) for scale, mask in masks.items()},
            image_ids=torch.tensor(image_ids, dtype=torch.int64),
            step=step,
            skipped=tuple(skipped),
            labelled=None if np.all(labelled) else torch.from_numpy(np.stack(labelled)),
        )

    @cached_property
    def _by_source(self) -> dict[str, list[int]]:
        return self.dataset.by_source()

    def _fill(
        self,
        out: UInt8Image,
        draw: Draw,
        rng: np.random.Generator,
        augment: AugmentOptions,
        skipped: list[Skipped],
    ) -> list[_Piece]:
        """Warp the drawn image into the crop `out`, in a mosaic with others of its source."""
        pieces: list[_Piece] = []
        flip = self.dataset.skeleton.flip
        for part in mosaic(rng, len(out), augment, max(self.scales)):
            if pieces:
                others = self._by_source[pieces[0].record.source]
                draw = Draw(draw.epoch, int(others[rng.integers(len(others))]))
            index, image = self._read(draw, skipped)
            record = self.dataset.records[index]
            height, width = image.shape[:2]
            drawn = sample(rng, width, height, len(out), augment, part)
            warp_image(image, drawn, out=drawn.cell.of(out))
            labelled = self.dataset.labelled[record.source]
            labelled = labelled[list(flip)] if drawn.flip else labelled
            pieces.append(_Piece(record, drawn, warp_keypoints(record.keypoints, drawn, flip), labelled))
        return pieces

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
