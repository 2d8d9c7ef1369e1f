"""Network outputs of several passes over one image as one set of heatmaps and tags."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .people import Floats


def merge_passes(passes: Sequence[tuple[Floats, Floats]], flip: Sequence[int]) -> tuple[Floats, Floats]:
    """Average the heatmaps of both scales and of the plain and the mirrored pass; stack the tags.

    Args:
        passes: one or two (quarter (2J, h, w), half (J, H, W)) raw outputs, the second of the mirrored image.
        flip: the mirror image of every joint (`Skeleton.flip`).

    Returns:
        heatmaps (J, H, W) and tags (J, h, w, T), T the number of passes, in the plain pass's coordinates.
    """
    joints = len(flip)
    size = passes[0][1].shape[:0:-1]
    heat_jhw = np.empty((joints, size[1], size[0]), np.float32)
    tags_tjhw = np.empty((len(passes), joints, *passes[0][0].shape[1:]), np.float32)
    share = 0.5 / len(passes)
    for joint, mirror in enumerate(flip):
        quarter, half = (plane[joint] for plane in passes[0])
        tags_tjhw[0, joint] = passes[0][0][joints + joint]
        if len(passes) == 2:
            mirrored_quarter, mirrored_half = passes[1]
            quarter = quarter + cv2.flip(mirrored_quarter[mirror], 1)
            half = half + cv2.flip(mirrored_half[mirror], 1)
            cv2.flip(mirrored_quarter[joints + mirror], 1, dst=tags_tjhw[1, joint])
        heat_hw = heat_jhw[joint]
        cv2.resize(quarter, size, dst=heat_hw)
        heat_hw += half
        heat_hw *= share
    # A view with the tag axis last: nothing is copied for it.
    return heat_jhw, np.moveaxis(tags_tjhw, 0, -1)


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
