"""What a network's outputs are to be: heatmaps, where their loss counts, and where joints have tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .annotations.records import BoolArray, FloatArray, Region, decode_rle
from .transforms import Augmentation, pixel_centre_matrix

if TYPE_CHECKING:
    from ..heads.contract import Output
    from .batch import Batch

# cv2.fillPoly takes fixed-point corners with this many binary places.
_PLACES = 8
# Gaussians end at this many standard deviations (value 0.011), as in HigherHRNet's and LitePose's targets.
CUT = 3.0
# The people axis of `Targets.joints` is a multiple of this.
PEOPLE = 30


@dataclass(frozen=True, eq=False)
class Targets:
    """What the loss of B images is computed from; h and w are the sides of each output's map.

    Attributes:
        heats: per output (B, J, h, w) float32 heatmaps in 0..1.
        masks: per output (B, h, w) float32, 1 where the heatmap loss counts.
        joints: (B, P, J, 3) int64 column and row of each joint's pixel on the map of the first output, and 1
            if it is there, else 0, 0, 0; unused rows of the people axis are zeros.
        labelled: (B, J) float32, 1 where the loss counts on a joint's maps and 0 where nobody ever labels it,
            so that it is not known to be absent; None where all count.
    """

    heats: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    joints: Tensor
    labelled: Tensor | None = None

    def rows(self, part: slice) -> Targets:
        """Those of some of the images."""
        heats, masks = (tuple(maps[part] for maps in each) for each in (self.heats, self.masks))
        labelled = None if self.labelled is None else self.labelled[part]
        return Targets(heats, masks, self.joints[part], labelled)


def draw_targets(batch: Batch, outputs: Sequence[Output], sigma: float) -> Targets:
    """The targets of heatmaps at the scales of `outputs`, on the batch's device.

    Args:
        batch: with masks at those scales.
        outputs: of the network, in order.
        sigma: of the Gaussians, in pixels of each map.
    """
    scales = {output.scale for output in outputs}
    factors = {scale: torch.tensor([1 / scale, 1 / scale, 1.0]).to(batch.joints.device) for scale in scales}
    scaled = {scale: batch.joints * factor for scale, factor in factors.items()}
    masks = {scale: batch.masks[scale].float() for scale in scales}
    heats = {scale: draw_heatmaps(scaled[scale], _shape(mask), sigma) for scale, mask in masks.items()}
    first = outputs[0].scale
    return Targets(
        tuple(heats[output.scale] for output in outputs),
        tuple(masks[output.scale] for output in outputs),
        joint_positions(scaled[first], batch.tagged, _shape(masks[first]), PEOPLE),
        None if batch.labelled is None else batch.labelled.float(),
    )


def _shape(mask_bhw: Tensor) -> tuple[int, int]:
    _, height, width = mask_bhw.shape
    return height, width


def loss_mask(
    keypoints: FloatArray, pieces: Sequence[tuple[Sequence[Region], Augmentation]], side: int, sigma: float
) -> npt.NDArray[np.uint8]:
    """(side, side) uint8, 1 where the heatmap loss counts and 0 on unlabelled people and crowds.

    A labelled joint inside such a region still counts, with its whole Gaussian: CrowdPose's regions are
    boxes, and in its val split 2,010 labelled joints of other people lie inside them. Outside of the image
    the loss counts: there is certainly nobody in the padding, and test images have padding too.

    Args:
        keypoints: (P, J, 3) in crop coordinates, of all images in the crop.
        pieces: for each of those images its regions, in its own coordinates, and where it is in the crop.
        side: the map's side in pixels; the crop's is a multiple of it.
    """
    mask = np.ones((side, side), dtype=np.uint8)
    if not any(regions for regions, _ in pieces):
        return mask
    for regions, augmentation in pieces:
        factor = side / augmentation.resolution
        cell = augmentation.cell.scaled(factor)
        cell.of(mask)[:] = cell.of(ignore_mask(regions, augmentation.matrix * factor, side))
    keypoints = keypoints * np.array([factor, factor, 1.0])
    radius = patch_radius(sigma)
    joints = keypoints[visible_joints(keypoints, side), :2]
    for x, y in np.floor(joints).astype(np.int64).tolist():
        mask[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1] = 1
    return mask


def ignore_mask(regions: Iterable[Region], matrix: FloatArray, side: int) -> npt.NDArray[np.uint8]:
    """(side, side) mask that is 0 on `regions` and 1 elsewhere, the outside of the image included.

    Args:
        regions: in image coordinates.
        matrix: 2x3, image to map coordinates; in both, pixel i spans [i, i+1).
        side: the map's side in pixels.
    """
    mask = np.ones((side, side), dtype=np.uint8)
    for region in regions:
        for corners in region.polygons:
            # fillPoly counts pixel centres as integers, hence the half pixel.
            mapped = corners @ matrix[:, :2].T + matrix[:, 2] - 0.5
            fixed = np.round(np.clip(mapped, -1e6, 1e6) * 2**_PLACES).astype(np.int32)
            cv2.fillPoly(mask, [fixed], [0], shift=_PLACES)
        if region.rle is not None:
            crowd = decode_rle(region.rle)
            warped = cv2.warpAffine(crowd, pixel_centre_matrix(matrix), (side, side), flags=cv2.INTER_NEAREST)
            mask[warped > 0] = 0
    return mask


def visible_joints(keypoints: npt.NDArray[np.floating], side: int) -> BoolArray:
    """(P, J) whether a joint (x, y, v in map pixels) is labelled and lies on the map of `side` pixels."""
    inside = np.logical_and(keypoints[..., :2] >= 0, keypoints[..., :2] < side).all(axis=-1)
    return np.asarray(inside & (keypoints[..., 2] > 0))


def patch_radius(sigma: float) -> int:
    """Pixels from a joint's own pixel to the end of its Gaussian."""
    return int(np.ceil(CUT * sigma))


def visible(joints: Tensor, shape: tuple[int, int]) -> Tensor:
    """(...) bool of `joints` (..., 3) in map coordinates: labelled, and on the map of `shape` (h, w)."""
    x, y, labelled = joints.unbind(-1)
    return (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0]) & (labelled > 0)


def draw_heatmaps(joints: Tensor, shape: tuple[int, int], sigma: float) -> Tensor:
    """(B, J, h, w) float32: per joint the maximum over people of exp(-distance^2 / (2 sigma^2)).

    Args:
        joints: (B, P, J, 3) float x, y, v in map coordinates (pixel i spans [i, i+1)); joints with v = 0
            or off the map are left out.
        shape: (h, w) of the map.
        sigma: in pixels of the map; a Gaussian ends 3 sigma from its joint's pixel.
    """
    (batch, _, num_joints, _), (height, width) = joints.shape, shape
    image, person, joint = torch.nonzero(visible(joints, shape), as_tuple=True)
    centres = joints[image, person, joint, :2]
    radius = patch_radius(sigma)
    steps = torch.arange(-radius, radius + 1, device=joints.device)
    pixels = centres.floor().long()[:, :, None] + steps
    # The Gaussian is separable: one curve per axis, 0 off the map.
    curves = torch.exp((pixels + 0.5 - centres[:, :, None]) ** 2 * (-0.5 / sigma**2))
    columns, rows = pixels[:, 0].clamp(0, width - 1), pixels[:, 1].clamp(0, height - 1)
    curves *= pixels == torch.stack([columns, rows], dim=1)
    patches = curves[:, 1, :, None] * curves[:, 0, None, :]
    planes = (image * num_joints + joint)[:, None, None]
    places = (planes * height + rows[:, :, None]) * width + columns[:, None, :]
    heats = torch.zeros(batch * num_joints * height * width, device=joints.device)
    heats.scatter_reduce_(0, places.flatten(), patches.flatten().float(), "amax")
    return heats.view(batch, num_joints, height, width)


def joint_positions(joints: Tensor, tagged: Tensor, shape: tuple[int, int], people: int) -> Tensor:
    """(B, P', J, 3) int64 for the tag loss: each joint's column and row, and 1 if it is there, else 0, 0, 0.

    Args:
        joints: (B, P, J, 3) float x, y, v in map coordinates.
        tagged: (B, P) bool, which people have tags of their own (crowds have not).
        shape: (h, w) of the map.
        people: P' is P rounded up to a multiple of this.
    """
    there = visible(joints, shape) & tagged[..., None]
    found = torch.cat([joints[..., :2].floor(), torch.ones_like(joints[..., :1])], dim=-1).long()
    found *= there[..., None]
    missing = -found.shape[1] % people
    return torch.nn.functional.pad(found, (0, 0, 0, 0, 0, missing))
