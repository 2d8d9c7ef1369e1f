"""One stage: every cell of a map at 1/8 says whether a person is centred there, and where the joints are.

Why this form, for networks under 1 GMAC:

- Each joint is an offset from its cell, in units of the person's size, which the cell tells too (as YOLO-pose
  scales its anchors): one 1x1 convolution serves near and far people. CID and RTMO run a small network for
  each person (dynamic convolutions, coordinate classifiers), so their time grows with people and their
  operators are not plain; DEKR's adaptive convolutions sample maps at learned places, which boards lack.
- Users of YOLOv8-pose report that offsets under the OKS loss are slow to reach the strict thresholds
  (ultralytics #189) and that the loss forgets large people (#19470): 1 - exp(-e) is flat far from the joint.
  Here a joint costs log(1 + e), e = d^2 / (2 area k^2): OKS's own near the joint, with a slope everywhere.
- A person is learned at the four cells nearest to the mean of its joints, not by a matching that changes
  with the network (simOTA): all subnets of a supernet learn the same, and large ones can teach small ones.
- The confidence of a joint is the similarity that it reaches. A person's score is that of its cell times the
  mean confidence, so that people are ranked by what the metric asks for.

People are the best cells but those too similar to a better one. Every pair is compared once: no loop, and in
an exported graph no operator that boards lack. Two people whose centres share a cell are found as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .contract import Head, Output
from .embedding import resized

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..data.batch import Batch
    from ..data.targets import Targets
    from ..family import Layer
    from ..pose.grouping import DecodeOptions
    from ..pose.people import Floats, People
    from ..pose.preprocess import View
    from ..pose.skeletons import Skeleton
    from ..training.options import LossOptions
    from .losses import Terms

# People below this score are not told.
LEAST = 0.01


@dataclass(frozen=True)
class Form:
    """What the numbers of a cell mean, and how they are learned.

    Attributes:
        scale: input pixels of a side of a cell.
        first: channels before the x, y and confidences of all joints: score and size.
        unit: pixels of a person whose cell says nothing of its size.
        reach: how far it may say so (natural logarithm).
        empty: taken off the score: no layer has a bias, and cells begin as almost certainly empty.
        cells: at which a person is learned.
        looseness: constant of similarity of all joints while learning (twice the mean of COCO's sigmas).
        candidates: the best cells, of which people are made.
        same: people more similar than this to a better one are that one.
        weigh_joints, weigh_confidence, weigh_size: of the terms of the loss, beside the score's.
    """

    scale: int = 8
    first: int = 2
    unit: float = 32.0
    reach: float = 3.0
    empty: float = 4.0
    cells: int = 4
    looseness: float = 0.16
    candidates: int = 100
    same: float = 0.5
    weigh_joints: float = 2.0
    weigh_confidence: float = 0.5
    weigh_size: float = 0.1


FORM = Form()


class Onestage(Head):
    """One map at 1/8 of people: score, size, offsets and confidences of all joints."""

    name = "onestage"
    portable = True
    ends = 30

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        about = "(B, 2 + 3J, H/8, W/8) score and size of the person of a cell, J x, J y, J confidences"
        return (Output("cells", FORM.first + 3 * num_joints, FORM.scale, about),)

    def enlarge(
        self, name: str, channels: int, width: int, scale: int, part: str, group: str
    ) -> tuple[Layer, ...]:
        return resized(name, channels, width, scale, part, group)

    def targets(self, batch: Batch, sigma: float) -> Targets:
        from .onestage_torch import assign

        return assign(batch, FORM)

    def terms(self, outputs: Sequence[Tensor], targets: Any, options: LossOptions) -> Terms:
        from .onestage_torch import terms

        return terms(outputs[0], targets, options, FORM)

    def distillation(
        self, student: Sequence[Tensor], teacher: Sequence[Tensor], targets: Any, options: LossOptions
    ) -> Tensor:
        from .onestage_torch import distilled

        return distilled(student[0], teacher[0].detach(), targets, FORM)

    def people(
        self,
        passes: Sequence[Sequence[Sequence[Floats]]],
        views: Sequence[View],
        skeleton: Skeleton,
        options: DecodeOptions,
    ) -> People:
        from ..pose.people import People

        found = []
        for outputs, view in zip(passes, views, strict=True):
            cells = outputs[0][0]
            for (mirrored,) in outputs[1:]:
                cells = (cells + mirror(mirrored, skeleton.flip)) / 2
            keypoints, scores = best_cells(cells)
            found.append((in_image(keypoints, view), scores))
        keypoints, scores = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] > LEAST]
        keypoints, scores = keypoints[order], scores[order]
        same = FORM.same if options.oks_nms is None else options.oks_nms
        kept = np.flatnonzero(lone(keypoints, skeleton.sigmas, same))[: options.max_people]
        return People(keypoints[kept], np.zeros((len(kept), 1), np.float32), scores[kept])

    def ending(self, count: int, skeleton: Skeleton) -> nn.Module:
        from .onestage_torch import PeopleHead

        return PeopleHead(count, skeleton.sigmas, FORM)

    def ending_outputs(self) -> dict[str, str]:
        return {
            "scores": "(B, K) scores of the best people, best first; 0 where there are fewer",
            "people": "(B, K, J, 3) x, y in pixels of the input (pixel i spans [i, i+1)) and confidence",
        }

    def ended(
        self, outputs: Sequence[Floats], view: View, skeleton: Skeleton, options: DecodeOptions
    ) -> People:
        from ..pose.people import People

        scores, keypoints = (np.asarray(output, np.float32)[0] for output in outputs)
        there = np.flatnonzero(scores > LEAST)[: options.max_people]
        return People(in_image(keypoints[there], view), np.zeros((len(there), 1), np.float32), scores[there])


def in_image(keypoints: Floats, view: View) -> Floats:
    """People (P, J, 3) on the input in the coordinates of the image that `view` shows."""
    scale, shift = (np.array(each, np.float32) for each in ([view.scale] * 2 + [1], [*view.offset, 0]))
    return np.asarray((keypoints - shift) / scale)


def mirror(cells: Floats, flip: Sequence[int]) -> Floats:
    """The map (2 + 3J, h, w) of the mirrored image as that of the image."""
    joints, order = len(flip), np.array(flip)
    x, y, confidence = (
        cells[FORM.first + i * joints : FORM.first + (i + 1) * joints][order] for i in range(3)
    )
    return np.concatenate([cells[: FORM.first], -x, y, confidence])[..., ::-1]


def best_cells(cells: Floats) -> tuple[Floats, Floats]:
    """(P, J, 3) x, y in input pixels and confidence, and (P,) scores, of the best cells of a map."""
    joints, width = (len(cells) - FORM.first) // 3, cells.shape[2]
    flat = cells.reshape(len(cells), -1).T
    best = np.argsort(-flat[:, 0], kind="stable")[: FORM.candidates]
    chosen = flat[best].astype(np.float32)
    size = FORM.unit * np.exp(np.clip(chosen[:, 1], -FORM.reach, FORM.reach))
    x, y, confidence = (chosen[:, FORM.first + i * joints : FORM.first + (i + 1) * joints] for i in range(3))
    centre_x, centre_y = (FORM.scale * (place + np.float32(0.5)) for place in (best % width, best // width))
    confidence = sigmoid(confidence)
    keypoints = np.stack(
        [centre_x[:, None] + size[:, None] * x, centre_y[:, None] + size[:, None] * y, confidence], axis=-1
    )
    return keypoints.astype(np.float32), sigmoid(chosen[:, 0] - FORM.empty) * confidence.mean(axis=1)


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-values)), in float32 at any size of the values."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * values), np.float32)


def lone(keypoints: Floats, sigmas: Sequence[float], same: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(P,) which people (P, J, 3), best first, are not more similar than `same` to any better one."""
    from ..pose.people import oks

    low, high = keypoints[..., :2].min(axis=1), keypoints[..., :2].max(axis=1)
    similar = oks(keypoints, keypoints, sigmas, np.prod(high - low, axis=1))
    return np.asarray(~(np.tril(similar, -1) > same).any(axis=1))


ONESTAGE = Onestage()
