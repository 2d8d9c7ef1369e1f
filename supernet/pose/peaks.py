"""Local maxima of heatmaps: non-maximum suppression, the best few per joint, and their place below a
pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .people import Floats

Ints = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, eq=False)
class Peaks:
    """N peaks of all joints of one image: joint by joint, and within a joint the highest first.

    Attributes:
        joint: (N,) the joint index, ascending.
        column: (N,) the pixel column.  row: (N,) the pixel row.
        score: (N,) the heatmap value.
    """

    joint: Ints
    column: Ints
    row: Ints
    score: Floats


def find_peaks(heat_jhw: Floats, threshold: float, most: int, window: int = 3) -> Peaks:
    """The at most `most` highest local maxima above `threshold` of each heatmap.

    A pixel is a local maximum when none in the `window` x `window` pixels around it is higher (the max-pool
    suppression of Newell et al., "Associative Embedding", NeurIPS 2017). Of equal neighbours, which a
    joint between two pixels gives, only the first in reading order stays; equal scores rank in reading
    order.
    """
    width = heat_jhw.shape[2]
    kernel = np.ones((window, window), np.uint8)
    floor = np.float32(threshold)
    joints, places = [], []
    for joint, heat_hw in enumerate(heat_jhw):
        highest = cv2.dilate(heat_hw, kernel)
        place = np.flatnonzero((heat_hw >= highest) & (heat_hw > floor))
        place = _first_of_equals(heat_hw, place, window)
        score = heat_hw.ravel()[place]
        if len(place) > most:
            # Partial selection: everything at or above the most-th value, then a stable sort of those few.
            keep = score >= np.partition(score, len(score) - most)[len(score) - most]
            place, score = place[keep], score[keep]
        place = place[np.argsort(-score, kind="stable")[:most]]
        places.append(place)
        joints.append(np.full(len(place), joint))
    joint_n, place_n = np.concatenate(joints), np.concatenate(places)
    row, column = np.divmod(place_n, width)
    return Peaks(joint_n, column, row, heat_jhw[joint_n, row, column])


def _first_of_equals(heat_hw: Floats, place: Ints, window: int) -> Ints:
    """Drop the places that have an equal pixel before them (in reading order) within the window."""
    width = heat_hw.shape[1]
    flat = heat_hw.ravel()
    row, column = np.divmod(place, width)
    score = flat[place]
    first = np.ones(len(place), bool)
    reach = window // 2
    for dy in range(-reach, 1):
        for dx in range(-reach, reach + 1 if dy < 0 else 0):
            y, x = row + dy, column + dx
            inside = (y >= 0) & (x >= 0) & (x < width)
            first &= ~(inside & (flat[np.where(inside, y * width + x, 0)] == score))
    return place[first]


def refine_position(heat_jhw: Floats, peaks: Peaks) -> Floats:
    """Continuous x, y (N, 2) float32 of `peaks`: the vertex of a parabola through three pixels per axis.

    The shift is at most half a pixel; an axis on which the peak lies at the border is not shifted.
    """
    height, width = heat_jhw.shape[1:]
    x = _vertex(heat_jhw, peaks, 0, 1, peaks.column, width)
    y = _vertex(heat_jhw, peaks, 1, 0, peaks.row, height)
    return np.stack([x, y], axis=-1)


def _vertex(heat_jhw: Floats, peaks: Peaks, dy: int, dx: int, index: Ints, size: int) -> Floats:
    inner = (index > 0) & (index < size - 1)
    step_y, step_x = inner * dy, inner * dx
    before = heat_jhw[peaks.joint, peaks.row - step_y, peaks.column - step_x]
    after = heat_jhw[peaks.joint, peaks.row + step_y, peaks.column + step_x]
    bend = 2 * peaks.score - before - after
    shift = np.divide(after - before, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    return np.asarray(index + np.clip(shift, -0.5, 0.5) + 0.5, np.float32)
