"""Heads without tags: heatmaps of the one person in a crop, of parts of it as well, part affinity fields."""

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
        return {"heat_heatmaps": (options.heat[0], counted_error(heats_bjhw, wanted_bjhw, counted_bj))}

    def person(self, passes: Sequence[Sequence[Floats]], skeleton: Skeleton) -> Floats:
        heats_bjhw = passes[0][0]
        for mirrored, *_ in passes[1:]:
            heats_bjhw = (heats_bjhw + mirrored[:, list(skeleton.flip), :, ::-1]) / 2
        output, *_ = self.outputs(skeleton.num_joints)
        return best_pixels(heats_bjhw, output.scale)


def counted_error(heats_bjhw: Tensor, wanted_bjhw: Tensor, counted_bj: Tensor) -> Tensor:
    """The mean squared error of the maps that count, a scalar."""
    errors_bj = (heats_bjhw - wanted_bjhw).square().mean((2, 3))
    return (errors_bj * counted_bj).sum() / counted_bj.sum().clamp(min=1)


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


# The parts of a body as a tree: halves, and the limbs of each.
BODY = {
    "upper": "0",
    "lower": "1",
    "left_arm": "0.0",
    "right_arm": "0.1",
    "left_leg": "1.0",
    "right_leg": "1.1",
}
# By the number of joints, CrowdPose's 14 and COCO's 17, the joints of each part in the order of `BODY`.
JOINTS = {
    14: (
        *((0, 1, 2, 3, 4, 5, 12, 13), (6, 7, 8, 9, 10, 11)),
        *((0, 2, 4), (1, 3, 5), (6, 8, 10), (7, 9, 11)),
    ),
    17: (
        *((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), (11, 12, 13, 14, 15, 16)),
        *((5, 7, 9), (6, 8, 10), (11, 13, 15), (12, 14, 16)),
    ),
}


class BodyParts(Heatmaps):
    """Heatmaps of the person in a crop, and again those of each part of the body, which only teach.

    The first output is that of `heatmaps` and finds the person; then come those of `BODY`, each with the
    joints of its part. They are for networks whose inner maps shall stand for parts of a body.
    """

    name = "body_parts"

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        about = "(B, n, H/4, W/4) heatmaps of the joints of this part alone, for training"
        parts = zip(BODY, self.joints(num_joints), strict=True)
        return super().outputs(num_joints) + tuple(Output(name, len(js), 4, about) for name, js in parts)

    def joints(self, num_joints: int) -> tuple[tuple[int, ...], ...]:
        """The joints of each part in the order of `BODY`.

        Raises:
            InputError: it is not known which joints these are.
        """
        if num_joints not in JOINTS:
            known = " or ".join(map(str, JOINTS))
            raise InputError(
                f"a head of {self.name} knows the bodies of CrowdPose and COCO, of {known} joints, not of "
                f"{num_joints}; choose one without supervised modules"
            )
        return JOINTS[num_joints]

    def targets(self, batch: Batch, sigma: float) -> Targets:
        from ..data.targets import draw_targets

        return draw_targets(batch, super().outputs(batch.joints.shape[2]), sigma)

    def terms(self, outputs: Sequence[Tensor], targets: Targets, options: LossOptions) -> Terms:
        terms = super().terms(outputs[:1], targets, options)
        assert targets.labelled is not None, "super() needs it too"
        (wanted_bjhw,), counted_bj = targets.heats, targets.labelled
        for name, part, heats_bnhw in zip(BODY, self.joints(counted_bj.shape[1]), outputs[1:], strict=True):
            error = counted_error(heats_bnhw, wanted_bjhw[:, part], counted_bj[:, part])
            terms[f"heat_{name}"] = (options.heat[1], error)
        return terms


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
BODY_PARTS = BodyParts()
FIELDS = Fields()
