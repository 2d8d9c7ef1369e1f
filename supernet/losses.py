"""Training losses: heatmap regression, associative embedding, distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .training.options import LossOptions


class PoseTargets(Protocol):
    """What the loss reads from a batch; maps at 1/4 and at 1/2 of the input."""

    @property
    def heats_quarter(self) -> Tensor: ...  # (B, J, H/4, W/4), 0 to 1

    @property
    def heats_half(self) -> Tensor: ...  # (B, J, H/2, W/2), 0 to 1

    @property
    def mask_quarter(self) -> Tensor: ...  # (B, H/4, W/4), 1 where errors count

    @property
    def mask_half(self) -> Tensor: ...  # (B, H/2, W/2)

    @property
    def joints(self) -> Tensor: ...  # (B, P, J, 3) integer x, y, visible on the 1/4 map


def heatmap_mse(
    pred_bjhw: Tensor, target_bjhw: Tensor, mask_bhw: Tensor, positive_weight: float = 0.0
) -> Tensor:
    """Masked mean squared error of heatmaps, as a scalar.

    The mean of `mask * (1 + positive_weight * max(target, 0)) * (pred - target)^2` over all B*J*H*W values;
    masked ones count as zero error (HigherHRNet's definition), so a half-masked image weighs half.
    No gradient flows through the weights. Half-precision maps are compared in float32.

    Args:
        pred_bjhw: predicted maps.
        target_bjhw: wanted maps, 1 at a joint.
        mask_bhw: 1 (or True) where errors count, 0 over crowds and unlabelled people.
        positive_weight: 0 for the plain MSE; w makes an error at a peak cost 1 + w times as much.

    Raises:
        ValueError: the shapes do not belong together.
    """
    batch, _, height, width = pred_bjhw.shape
    if pred_bjhw.shape != target_bjhw.shape or mask_bhw.shape != (batch, height, width):
        shapes = [tuple(t.shape) for t in (pred_bjhw, target_bjhw, mask_bhw)]
        raise ValueError(f"prediction, target and mask have shapes {shapes}")
    pred, target = _at_least_float32(pred_bjhw), _at_least_float32(target_bjhw)
    weight = mask_bhw.to(pred.dtype)[:, None]
    if positive_weight:
        weight = weight * (1 + positive_weight * target.detach().clamp(min=0))
    return ((pred - target).square() * weight).mean()


def tag_loss(tags_bjhw: Tensor, joints_bpj3: Tensor) -> tuple[Tensor, Tensor]:
    """Associative embedding (Newell et al. 2017), 'exp' form as in HigherHRNet: (pull, push), unweighted.

    With m_i the mean tag of person i over its visible joints and n the people with at least one, per image

        pull = mean over people of mean over joints of (tag - m_i)^2
        push = 0.5 / (n (n - 1)) * sum over ordered pairs i != j of exp(-(m_i - m_j)^2)

    and both are averaged over the batch. Without people both are 0, with one push is 0.

    Args:
        tags_bjhw: one tag map per joint.
        joints_bpj3: integers x, y, visible per joint, in pixels of the tag maps; P is padded with invisible
            people. A joint outside the map counts as invisible.

    Raises:
        ValueError: the shapes do not belong together.
    """
    batch, num_joints, height, width = tags_bjhw.shape
    if joints_bpj3.ndim != 4 or joints_bpj3.shape[::2] != (batch, num_joints) or joints_bpj3.shape[3] != 3:
        raise ValueError(f"tags have shape {tuple(tags_bjhw.shape)}, joints {tuple(joints_bpj3.shape)}")
    x, y, flag = joints_bpj3.long().unbind(-1)
    visible_bpj = (flag > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x.where(visible_bpj, 0), y.where(visible_bpj, 0)
    image = torch.arange(batch, device=x.device)[:, None, None]
    joint = torch.arange(num_joints, device=x.device)
    tag_bpj = _at_least_float32(tags_bjhw[image, joint, y, x])
    shown_bpj = visible_bpj.to(tag_bpj.dtype)

    count_bp = shown_bpj.sum(2)
    person_bp = (count_bp > 0).to(tag_bpj.dtype)
    mean_bp = (tag_bpj * shown_bpj).sum(2) / count_bp.clamp(min=1)
    spread_bp = ((tag_bpj - mean_bp[:, :, None]).square() * shown_bpj).sum(2) / count_bp.clamp(min=1)
    people_b = person_bp.sum(1)
    pull_b = spread_bp.sum(1) / people_b.clamp(min=1)

    closeness_bpp = torch.exp(-(mean_bp[:, :, None] - mean_bp[:, None, :]).square())
    pair_bpp = person_bp[:, :, None] * person_bp[:, None, :]
    pair_bpp = pair_bpp * (1 - torch.eye(pair_bpp.shape[1], dtype=pair_bpp.dtype, device=pair_bpp.device))
    push_b = 0.5 * (closeness_bpp * pair_bpp).sum((1, 2)) / (people_b * (people_b - 1)).clamp(min=1)
    return pull_b.mean(), push_b.mean()


def distillation(
    student_heads: Sequence[Tensor],
    teacher_heads: Sequence[Tensor],
    masks: Sequence[Tensor],
    positive_weight: float = 0.0,
    scale_weights: tuple[float, float] = (1.0, 1.0),
) -> Tensor:
    """Masked MSE of the student's heatmaps against the teacher's, summed over the two scales.

    The teacher is detached. Tags are left out: their offsets are arbitrary.

    Args:
        student_heads: [(B, 2J, H/4, W/4) heatmaps then tags, (B, J, H/2, W/2) heatmaps].
        teacher_heads: the same of the teacher, at the same resolution.
        masks: [(B, H/4, W/4), (B, H/2, W/2)].
        positive_weight: as in `heatmap_mse`.
        scale_weights: weights of the errors at 1/4 and at 1/2.
    """
    num_joints = student_heads[1].shape[1]
    terms = [
        weight * heatmap_mse(student[:, :num_joints], teacher[:, :num_joints].detach(), mask, positive_weight)
        for weight, student, teacher, mask in zip(
            scale_weights, student_heads, teacher_heads, masks, strict=True
        )
    ]
    return terms[0] + terms[1]


class PoseLoss:
    """The weighted sum of all terms for one network's outputs.

    `total, terms = loss(heads, targets, teacher_heads)`: `total` is a scalar for `backward`, `terms` the
    unweighted, detached parts by name (heat_quarter, heat_half, pull, push, and distillation with a teacher).
    """

    def __init__(self, options: LossOptions | None = None) -> None:
        self.options = options or LossOptions()

    def __call__(
        self, heads: Sequence[Tensor], targets: PoseTargets, teacher_heads: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        options = self.options
        num_joints = heads[1].shape[1]
        positive = options.positive_weight
        quarter = heatmap_mse(heads[0][:, :num_joints], targets.heats_quarter, targets.mask_quarter, positive)
        half = heatmap_mse(heads[1], targets.heats_half, targets.mask_half, positive)
        pull, push = tag_loss(heads[0][:, num_joints:], targets.joints)
        total = options.heat[0] * quarter + options.heat[1] * half + options.pull * pull + options.push * push
        terms = {"heat_quarter": quarter, "heat_half": half, "pull": pull, "push": push}
        if teacher_heads is not None:
            masks = (targets.mask_quarter, targets.mask_half)
            terms["distillation"] = distillation(heads, teacher_heads, masks, positive, options.heat)
            total = total + options.distillation * terms["distillation"]
        return total, {name: term.detach() for name, term in terms.items()}


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
