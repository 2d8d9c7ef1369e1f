"""Associative embedding: heatmaps at two scales, and tags that group joints into people.

What finds people is imported when some are looked for: costs ask a head for its outputs alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .contract import Head, Output

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..data.targets import Targets
    from ..family import Layer
    from ..pose.grouping import DecodeOptions
    from ..pose.people import Floats, People
    from ..pose.preprocess import View
    from ..pose.skeletons import Skeleton
    from ..training.options import LossOptions
    from .losses import Terms


class Embedding(Head):
    """Heatmaps and tags at 1/4, finer heatmaps at 1/2 (HigherHRNet, LitePose)."""

    name = "embedding"
    peaks = True
    portable = True

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        return (
            Output("quarter", 2 * num_joints, 4, "(B, 2J, H/4, W/4) J heatmaps, then J tags"),
            Output("half", num_joints, 2, "(B, J, H/2, W/2) J heatmaps"),
        )

    def terms(self, outputs: Sequence[Tensor], targets: Targets, options: LossOptions) -> Terms:
        from .losses import tag_loss

        terms = super().terms(outputs, targets, options)
        pull, push = tag_loss(outputs[0][:, targets.joints.shape[2] :], targets.joints)
        return terms | {"pull": (options.pull, pull), "push": (options.push, push)}

    def people(
        self,
        passes: Sequence[Sequence[Sequence[Floats]]],
        views: Sequence[View],
        skeleton: Skeleton,
        options: DecodeOptions,
    ) -> People:
        from ..pose.grouping import decode
        from ..pose.inference import average_views, merge_heatmaps
        from ..pose.preprocess import to_image

        heat_jhw = average_views([merge_heatmaps(each, skeleton.flip) for each in passes], views)
        # Tags of different scales cannot be averaged.
        tags_jhwt = stack_tags([outputs[0] for outputs in passes[0]], skeleton.flip)
        people = decode(heat_jhw[None], tags_jhwt[None], skeleton, options)[0]
        return to_image(people, views[0], heat_jhw.shape[1:])

    def ending(self, count: int, skeleton: Skeleton) -> nn.Module:
        from .peak_head import PeakHead

        return PeakHead(count)

    def ending_outputs(self) -> dict[str, str]:
        return {
            "scores": "(B, J, K) heatmap value of the K best peaks of each joint, best first",
            "positions": "(B, J, K, 2) x, y in half-scale pixels (pixel i spans [i, i+1)), parabola-refined",
            "tags": "(B, J, K) associative-embedding tag at each peak",
        }

    def ended(
        self, outputs: Sequence[Floats], view: View, skeleton: Skeleton, options: DecodeOptions
    ) -> People:
        from ..pose.grouping import decode_peaks
        from ..pose.preprocess import to_image

        scores, positions, tags = outputs
        people = decode_peaks(scores, positions, tags, skeleton, options)[0]
        return to_image(people, view, (view.size[0] // 2, view.size[1] // 2))


def merge_passes(passes: Sequence[Sequence[Floats]], flip: Sequence[int]) -> tuple[Floats, Floats]:
    """Heatmaps (J, H, W) and tags (J, h, w, T) of one view; see `merge_heatmaps` and `stack_tags`."""
    from ..pose.inference import merge_heatmaps

    return merge_heatmaps(passes, flip), stack_tags([outputs[0] for outputs in passes], flip)


def stack_tags(quarters: Sequence[Floats], flip: Sequence[int]) -> Floats:
    """Tags (J, h, w, T) of T = 1 or 2 outputs (2J, h, w), the second that of the mirrored image."""
    import cv2

    joints = len(flip)
    tags_tjhw = np.empty((len(quarters), joints, *quarters[0].shape[1:]), np.float32)
    tags_tjhw[0] = quarters[0][joints:]
    for mirrored, tags_jhw in zip(quarters[1:], tags_tjhw[1:], strict=True):
        for joint, mirror in enumerate(flip):
            cv2.flip(mirrored[joints + mirror], 1, dst=tags_jhw[joint])
    # A view with the tag axis last: nothing is copied for it.
    return np.moveaxis(tags_tjhw, 0, -1)


def resized(
    name: str, channels: int, width: int, scale: int, part: str, group: str
) -> tuple[Layer, Layer, Layer]:
    """The layers that double a map without a transposed convolution; see `Head.enlarge`.

    A 1x1 convolution on the small map, every pixel repeated, a depthwise 3x3 convolution on the large one.
    Under the kernel (1, 2, 1) x (1, 2, 1) / 16 repeated pixels are bilinear interpolation, which can so be
    learned; and every runtime repeats pixels, none rounds them differently.
    """
    from ..family import Layer

    place, small = (scale, part, group), (2 * scale, part, group)
    return (
        Layer(f"{name}.project", "conv", channels, width, 1, 1, False, None, *small),
        Layer(f"{name}.resize", "resize", width, width, 1, 2, False, None, *place),
        Layer(f"{name}.depthwise", "depthwise", width, width, 3, 1, False, None, *place),
    )


class ResizedEmbedding(Embedding):
    """The outputs of `Embedding` without transposed convolutions, which boards run badly if at all."""

    name = "ae_resize"

    def enlarge(
        self, name: str, channels: int, width: int, scale: int, part: str, group: str
    ) -> tuple[Layer, ...]:
        return resized(name, channels, width, scale, part, group)


EMBEDDING, AE_RESIZE = Embedding(), ResizedEmbedding()
