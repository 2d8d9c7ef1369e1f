"""Several looks at one image made one: mirrored passes, scales of the test, and the way back to the image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .people import Floats, People
from .preprocess import View


def merge_heatmaps(passes: Sequence[Sequence[Floats]], flip: Sequence[int]) -> Floats:
    """Average the heatmaps of all outputs and both passes, at the finest output's size.

    Args:
        passes: one or two times the outputs (J or more channels, h, w), the second of the mirrored image.
        flip: the mirror image of every joint (`Skeleton.flip`).

    Returns:
        (J, H, W) heatmaps in the plain pass's coordinates.
    """
    height, width = max(output.shape[1:] for output in passes[0])
    heat_jhw = np.empty((len(flip), height, width), np.float32)
    share = 1 / (len(passes) * len(passes[0]))
    for joint, mirror in enumerate(flip):
        heat_hw = heat_jhw[joint]
        for place, outputs in enumerate(zip(*passes, strict=True)):
            plane = outputs[0][joint]
            for mirrored in outputs[1:]:
                plane = plane + cv2.flip(mirrored[mirror], 1)
            if place == 0:
                cv2.resize(plane, (width, height), dst=heat_hw)
            elif plane.shape == heat_hw.shape:
                heat_hw += plane
            else:
                heat_hw += cv2.resize(plane, (width, height))
        heat_hw *= share
    return heat_jhw


def align(heat_jhw: Floats, scale: float, offset: tuple[float, float], size: tuple[int, int]) -> Floats:
    """Heatmaps (J, H, W) on a map of `size` (H, W), whose place x is `x * scale + offset` on them."""
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    matrix[:, 2] += 0.5 * scale - 0.5  # OpenCV counts the centre of pixel i as i
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    aligned = [
        cv2.warpAffine(heat_hw, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for heat_hw in heat_jhw
    ]
    return np.stack(aligned)


def average_views(heats: Sequence[Floats], views: Sequence[View]) -> Floats:
    """Heatmaps (J, H, W) of an image at several scales, averaged on the map of the first."""
    if len(heats) == 1:
        return heats[0]
    base, size = views[0], heats[0].shape[1:]
    total = heats[0].copy()
    stride = base.size[1] / size[1]
    for heat_jhw, view in zip(heats[1:], views[1:], strict=True):
        # place on the base map -> base input -> image -> this input -> place on this map
        own = view.size[1] / heat_jhw.shape[2]
        scale = stride / base.scale * view.scale / own
        x, y = (
            (to - start / base.scale * view.scale) / own
            for start, to in zip(base.offset, view.offset, strict=True)
        )
        total += align(heat_jhw, scale, (x, y), (size[0], size[1]))
    return total / np.float32(len(heats))


def to_image(people: People, view: View, size: tuple[int, ...]) -> People:
    """`people` on a heatmap of `size` (H, W) in the coordinates of the image that `view` shows."""
    stride_y, stride_x = view.size[0] / size[0], view.size[1] / size[1]
    scale = (stride_x / view.scale, stride_y / view.scale)
    return people.moved(scale, (-view.offset[0] / view.scale, -view.offset[1] / view.scale))
