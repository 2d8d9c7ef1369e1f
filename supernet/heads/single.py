"""Heads without tags: heatmaps of the one person in a crop, and part affinity fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..pose.people import Floats
from ..pose.skeletons import Skeleton
from .contract import Head, Output

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.batch import Batch
    from ..data.targets import Targets
    from ..training.options import LossOptions
    from .losses import Terms


class Heatmaps(Head):
    """Heatmaps at 1/4 of the person in the middle of a crop (top-down networks)."""

    name = "heatmaps"
    finds_people = False
    finds_person = True

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        about = "(B, J, H/4, W/4) heatmaps of the person in the middle of the crop"
        return (Output("heatmaps", num_joints, 4, about),)

    def terms(self, outputs: Sequence[Tensor], targets: Targets, options: LossOptions) -> Terms:
        assert targets.labelled is not None, "it is known of every joint whether it is in the crop"
        (heats_bjhw,), (wanted_bjhw,), counted_bj = outputs, targets.heats, targets.labelled
        errors_bj = (heats_bjhw - wanted_bjhw).square().mean((2, 3))
        error = (errors_bj * counted_bj).sum() / counted_bj.sum().clamp(min=1)
        return {"heat_heatmaps": (options.heat[0], error)}

    def person(self, passes: Sequence[Sequence[Floats]], skeleton: Skeleton) -> Floats:
        heats_bjhw = passes[0][0]
        for (mirrored,) in passes[1:]:
            heats_bjhw = (heats_bjhw + mirrored[:, list(skeleton.flip), :, ::-1]) / 2
        (output,) = self.outputs(skeleton.num_joints)
        return best_pixels(heats_bjhw, output.scale)


def best_pixels(heats_bjhw: Floats, scale: int) -> Floats:
    """(B, J, 3) x, y in input pixels and value of the best pixel of each map.

    The place is shifted by a quarter of a pixel towards the higher neighbour on each axis.
    """
    batch, joints, height, width = heats_bjhw.shape
    heats_nhw = heats_bjhw.reshape(-1, height, width)
    place = heats_nhw.reshape(len(heats_nhw), -1).argmax(axis=1)
    row, column = place // width, place % width
    each = np.arange(len(heats_nhw))
    left, right = (heats_nhw[each, row, np.clip(column + step, 0, width - 1)] for step in (-1, 1))
    above, below = (heats_nhw[each, np.clip(row + step, 0, height - 1), column] for step in (-1, 1))
    shift_x = 0.25 * np.sign(right - left) * ((column > 0) & (column < width - 1))
    shift_y = 0.25 * np.sign(below - above) * ((row > 0) & (row < height - 1))
    xy = scale * np.stack([column + 0.5 + shift_x, row + 0.5 + shift_y], axis=1)
    found = np.concatenate([xy, heats_nhw[each, row, column][:, None]], axis=1)
    return found.reshape(batch, joints, 3)


class Fields(Head):
    """Lightweight OpenPose's heatmaps and part affinity fields for COCO's joints: for its cost alone."""

    name = "fields"
    finds_people = False

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        return (
            Output("heatmaps", 19, 8, "(B, 19, H/8, W/8) heatmaps: joints, neck, background"),
            Output("fields", 38, 8, "(B, 38, H/8, W/8) part affinity fields"),
        )

    def targets(self, batch: Batch, sigma: float) -> Targets:
        raise InputError(f"a head of {self.name} is there for cost and latency: nothing is learned from it")


HEATMAPS = Heatmaps()
FIELDS = Fields()
