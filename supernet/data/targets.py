"""Training targets, made at the resolution of the step and never resized; on whatever device the joints are.

Gaussians are centred on the joint itself, not on its pixel's centre (as in DARK, Zhang et al. 2020, section
3.3: a rounded centre teaches a bias of up to half a pixel, which at 1/4 scale is two image pixels). The pixel
that holds the joint is the peak all the same; its value is at least exp(-1 / (4 sigma^2)), 0.94 for sigma 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .masks import patch_radius


def visible(joints: Tensor, side: int) -> Tensor:
    """(...) bool of `joints` (..., 3) in map coordinates: labelled, and on the map of `side` pixels."""
    inside = (joints[..., :2] >= 0) & (joints[..., :2] < side)
    return inside.all(dim=-1) & (joints[..., 2] > 0)


def draw_heatmaps(joints: Tensor, side: int, sigma: float) -> Tensor:
    """(B, J, side, side) float32: per joint the maximum over people of exp(-distance^2 / (2 sigma^2)).

    Args:
        joints: (B, P, J, 3) float x, y, v in map coordinates (pixel i spans [i, i+1)); joints with v = 0
            or off the map are left out.
        side: the map's side in pixels.
        sigma: in pixels of the map; a Gaussian ends 3 sigma from its joint's pixel.
    """
    batch, _, num_joints, _ = joints.shape
    image, person, joint = torch.nonzero(visible(joints, side), as_tuple=True)
    centres = joints[image, person, joint, :2]
    radius = patch_radius(sigma)
    steps = torch.arange(-radius, radius + 1, device=joints.device)
    pixels = centres.floor().long()[:, :, None] + steps
    # The Gaussian is separable: one curve per axis, 0 off the map.
    curves = torch.exp((pixels + 0.5 - centres[:, :, None]) ** 2 * (-0.5 / sigma**2))
    curves *= (pixels >= 0) & (pixels < side)
    columns, rows = pixels.clamp(0, side - 1).unbind(1)
    patches = curves[:, 1, :, None] * curves[:, 0, None, :]
    planes = (image * num_joints + joint)[:, None, None]
    places = (planes * side + rows[:, :, None]) * side + columns[:, None, :]
    heats = torch.zeros(batch * num_joints * side * side, device=joints.device)
    heats.scatter_reduce_(0, places.flatten(), patches.flatten().float(), "amax")
    return heats.view(batch, num_joints, side, side)


def joint_positions(joints: Tensor, tagged: Tensor, side: int, people: int) -> Tensor:
    """(B, P', J, 3) int64 for the tag loss: each joint's column and row, and 1 if it is there, else 0, 0, 0.

    Args:
        joints: (B, P, J, 3) float x, y, v in map coordinates.
        tagged: (B, P) bool, which people have tags of their own (crowds have not).
        side: the map's side in pixels.
        people: P' is P rounded up to a multiple of this.
    """
    there = visible(joints, side) & tagged[..., None]
    found = torch.cat([joints[..., :2].floor(), torch.ones_like(joints[..., :1])], dim=-1).long()
    found *= there[..., None]
    missing = -found.shape[1] % people
    return torch.nn.functional.pad(found, (0, 0, 0, 0, 0, missing))
