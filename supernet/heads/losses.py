"""Training losses: heatmap regression, associative embedding, distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..training.options import LossOptions

if TYPE_CHECKING:
    from ..data.targets import Targets
    from .contract import Head

# Terms of a loss by name: each with its weight.
Terms = dict[str, tuple[float, Tensor]]


def heatmap_mse(
    pred_bjhw: Tensor,
    target_bjhw: Tensor,
    mask_bhw: Tensor,
    positive_weight: float = 0.0,
    labelled_bj: Tensor | None = None,
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
        labelled_bj: 1 where a joint's map counts, 0 where it is masked altogether; None for all.

    Raises:
        ValueError: the shapes do not belong together.
    """
    batch, _, height, width = pred_bjhw.shape
    if pred_bjhw.shape != target_bjhw.shape or mask_bhw.shape != (batch, height, width):
        shapes = [tuple(t.shape) for t in (pred_bjhw, target_bjhw, mask_bhw)]
        raise ValueError(f"prediction, target and mask have shapes {shapes}")
    pred, target = _at_least_float32(pred_bjhw), _at_least_float32(target_bjhw)
    weight = mask_bhw.to(pred.dtype)[:, None]
    if labelled_bj is not None:
        weight = weight * labelled_bj.to(pred.dtype)[:, :, None, None]
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


def heatmap_terms(
    outputs: Sequence[Tensor],
    wanted: Sequence[Tensor],
    targets: Targets,
    options: LossOptions,
) -> list[tuple[float, Tensor]]:
    """Per output its weight and the masked error of its heatmaps, its first J channels.

    Args:
        outputs: (B, channels, h, w) of the network.
        wanted: (B, J or more channels, h, w): the targets' heatmaps, or a teacher's outputs.
        targets: J and the masks.
        options: `heat` weighs the first output and the others, `positive_weight` what is at a peak.
    """
    return [
        (
            options.heat[min(place, 1)],
            heatmap_mse(
                _heatmaps(outputs[place], heats.shape[1]),
                _heatmaps(wanted[place], heats.shape[1]),
                mask,
                options.positive_weight,
                targets.labelled,
            ),
        )
        for place, (heats, mask) in enumerate(zip(targets.heats, targets.masks, strict=True))
    ]


def distillation(
    student: Sequence[Tensor], teacher: Sequence[Tensor], targets: Targets, options: LossOptions
) -> Tensor:
    """Masked MSE of the student's heatmaps against those of the detached teacher, summed over the outputs.

    Other channels are left out: the offsets of tags are arbitrary.
    """
    terms = heatmap_terms(student, [output.detach() for output in teacher], targets, options)
    first, *others = (weight * term for weight, term in terms)
    return sum(others, first)


class PoseLoss:
    """The weighted sum of all terms for one network's outputs.

    `total, terms = loss(outputs, targets, teacher)`: `total` is a scalar for `backward`, `terms` the
    unweighted, detached parts by name (those of the head, and distillation with a teacher's outputs).
    """

    def __init__(self, head: Head, options: LossOptions | None = None) -> None:
        self.head = head
        self.options = options or LossOptions()

    def __call__(
        self, outputs: Sequence[Tensor], targets: Targets, teacher: Sequence[Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        terms = self.head.terms(outputs, targets, self.options)
        if teacher is not None:
            wanted = self.head.distillation(outputs, teacher, targets, self.options)
            terms["distillation"] = (self.options.distillation, wanted)
        first, *others = (weight * term for weight, term in terms.values())
        return sum(others, first), {name: term.detach() for name, (_, term) in terms.items()}


def _heatmaps(output: Tensor, count: int) -> Tensor:
    # A slice of everything would cost its backward pass a copy.
    return output if output.shape[1] == count else output[:, :count]


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
