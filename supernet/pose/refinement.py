"""Joints that grouping missed, found again where a person's tag says they should be."""

from __future__ import annotations

import cv2
import numpy as np

from .peaks import Ints
from .people import Floats


def sample_tags(tags_jhwt: Floats, joint: Ints, row: Ints, column: Ints, size: tuple[int, int]) -> Floats:
    """Tags (N, T) at the centres of pixels (`row`, `column`) of heatmaps of `size` (H, W), bilinear.

    `tags_jhwt` may have fewer pixels than the heatmaps; beyond its outer pixel centres the border value
    holds.
    """
    height, width = tags_jhwt.shape[1:3]
    if (height, width) == size:
        return tags_jhwt[joint, row, column]
    y = np.clip((row + 0.5) * (height / size[0]) - 0.5, 0, height - 1)
    x = np.clip((column + 0.5) * (width / size[1]) - 0.5, 0, width - 1)
    y0, x0 = y.astype(np.intp), x.astype(np.intp)
    y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
    fy, fx = (y - y0).astype(np.float32)[:, None], (x - x0).astype(np.float32)[:, None]
    above = tags_jhwt[joint, y0, x0] * (1 - fx) + tags_jhwt[joint, y0, x1] * fx
    below = tags_jhwt[joint, y1, x0] * (1 - fx) + tags_jhwt[joint, y1, x1] * fx
    return np.asarray(above * (1 - fy) + below * fy)


def find_missing(
    heat_jhw: Floats, tags_jhwt: Floats, missing_pj: Floats, tags_pt: Floats
) -> tuple[Ints, Ints, Ints, Ints]:
    """For each missing joint the pixel with the highest `heat - round(distance of its tag to the person's)`.

    Where the tag map is coarser by whole factors, its pixels are searched, each with its highest heat: the
    place is then that heat's own pixel. The first of equals wins.

    Args:
        missing_pj: (P, J) bool, which joints to look for.
        tags_pt: (P, T) the people's tags.

    Returns:
        person, joint, row, column of the heatmap pixels found, each (M,), where the heat there is positive.
    """
    size = heat_jhw.shape[1:]
    person_m, joint_m = np.nonzero(missing_pj)
    places = np.zeros(len(person_m), np.intp)
    for joint in np.unique(joint_m):
        wanted = np.flatnonzero(joint_m == joint)
        planes_thw = np.moveaxis(tags_jhwt[joint], 2, 0)
        factors = _whole_factors(size, planes_thw.shape[1:])
        if factors is None:
            planes_thw, factors = _enlarge(planes_thw, size), (1, 1)
        best_cells = _best_cells(_highest(heat_jhw[joint], factors), planes_thw, tags_pt[person_m[wanted]])
        places[wanted] = _within_cells(heat_jhw[joint], best_cells, factors)
    row, column = np.divmod(places, size[1])
    found = heat_jhw[joint_m, row, column] > 0
    return person_m[found], joint_m[found], row[found], column[found]


def _whole_factors(size: tuple[int, ...], coarse: tuple[int, ...]) -> tuple[int, int] | None:
    if size[0] % coarse[0] or size[1] % coarse[1]:
        return None
    return size[0] // coarse[0], size[1] // coarse[1]


def _highest(heat_hw: Floats, factors: tuple[int, int]) -> Floats:
    """The highest heat in each cell of `factors` pixels."""
    highest = heat_hw
    if factors[0] > 1:
        highest = np.maximum.reduce([highest[row :: factors[0]] for row in range(factors[0])])
    if factors[1] > 1:
        highest = np.maximum.reduce([highest[:, column :: factors[1]] for column in range(factors[1])])
    return highest


def _best_cells(heat_hw: Floats, planes_thw: Floats, tags_pt: Floats) -> Ints:
    """(P,) flat cells of the highest `heat - round(distance)`."""
    square, gap = np.empty_like(heat_hw), np.empty_like(heat_hw)
    best = np.zeros(len(tags_pt), np.intp)
    for person, tag in enumerate(tags_pt):
        np.subtract(planes_thw[0], tag[0], out=square)
        square *= square
        for plane, value in zip(planes_thw[1:], tag[1:], strict=True):
            np.subtract(plane, value, out=gap)
            gap *= gap
            square += gap
        np.rint(np.sqrt(square, out=square), out=square)
        best[person] = np.subtract(heat_hw, square, out=square).argmax()
    return best


def _within_cells(heat_hw: Floats, cells: Ints, factors: tuple[int, int]) -> Ints:
    """(P,) flat heatmap pixels: the highest one, first of equals, in each of the cells."""
    width = heat_hw.shape[1]
    row, column = np.divmod(cells, width // factors[1])
    rows = row[:, None, None] * factors[0] + np.arange(factors[0])[None, :, None]
    columns = column[:, None, None] * factors[1] + np.arange(factors[1])[None, None, :]
    pixels = (rows * width + columns).reshape(len(cells), -1)
    choice = heat_hw.ravel()[pixels].argmax(axis=1)
    return np.asarray(pixels[np.arange(len(cells)), choice])


def _enlarge(planes_thw: Floats, size: tuple[int, ...]) -> Floats:
    """(T, H, W) tags at heatmap size, by the same bilinear rule as `sample_tags`."""
    return np.stack([cv2.resize(np.ascontiguousarray(plane), size[::-1]) for plane in planes_thw])
