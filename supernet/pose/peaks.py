"""Peaks of heatmaps: found, refined, matched to people by their tags, and looked for where one was missed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..registry import Registry
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
    curved = (bend > 0) & np.isfinite(bend)
    shift = np.divide(after - before, 2 * bend, out=np.zeros_like(bend), where=curved)
    return np.asarray(index + np.clip(shift, -0.5, 0.5) + 0.5, np.float32)


# (N, P) tag distances of one joint's peaks, the highest first, to the persons, the first founded first; (N,)
# heatmap values of the peaks; the distance from which on a peak never joins -> the pairs that join: peaks,
# persons, each at most once.
Rule = Callable[[Floats, Floats, float], tuple[Ints, Ints]]


def hungarian(distance_np: Floats, score_n: Floats, tag_threshold: float) -> tuple[Ints, Ints]:
    """The pairs of the lowest total of `round(distance) * 100 - score`, those below the threshold (Newell et
    al., "Associative Embedding", NeurIPS 2017).

    Every peak takes part: one far from all persons can push another off its own person, and does so by
    chance where tags are single numbers, since both pairings then often cost the same.
    """
    cost = np.round(distance_np) * 100
    if distance_np.shape[0] > distance_np.shape[1]:
        # The score only says which peaks stay alone. Otherwise whole numbers keep equal costs exactly equal,
        # and the higher peak then goes to the person founded earlier.
        cost = cost - score_n[:, None]
    peak, person = linear_sum_assignment(np.clip(np.nan_to_num(cost, nan=1e10), -1e10, 1e10))
    close = distance_np[peak, person] < tag_threshold
    return peak[close], person[close]


def greedy(distance_np: Floats, score_n: Floats, tag_threshold: float) -> tuple[Ints, Ints]:
    """The highest peak first, each with the nearest person left: the lowest `round(distance)`, of equals the
    person founded first, among those below the threshold.
    """
    rounded = np.where(distance_np < tag_threshold, np.round(distance_np), np.inf)
    peaks, persons = [], []
    for peak in np.flatnonzero(np.isfinite(rounded).any(axis=1)):
        person = rounded[peak].argmin()
        if np.isfinite(rounded[peak, person]):
            rounded[:, person] = np.inf
            peaks.append(peak)
            persons.append(person)
    return np.array(peaks, np.intp), np.array(persons, np.intp)


def first(distance_np: Floats, score_n: Floats, tag_threshold: float) -> tuple[Ints, Ints]:
    """The highest peak first, each with the person founded first among those left below the threshold,
    whatever the distance: tags say who is possible, and the strongest persons get their joints first.
    """
    return greedy(np.where(distance_np < tag_threshold, 0, distance_np), score_n, tag_threshold)


RULES: Registry[Rule] = Registry(
    "matching rule",
    {name: f"supernet.pose.peaks:{name}" for name in ("hungarian", "greedy", "first")},
)


def match(
    joint_n: Ints,
    score_n: Floats,
    tags_nt: Floats,
    order: Sequence[int],
    most: int,
    tag_threshold: float,
    rule: Rule = hungarian,
) -> Ints:
    """(N,) the person each peak belongs to, numbered in the order in which persons were founded.

    Joints are visited in `order`. The peaks of one joint and the first `most` persons are paired by `rule` on
    the distances of their tags, a person's being the mean of its members'; every peak without a partner
    founds a person.

    Args:
        joint_n: (N,) ascending; within a joint the highest score first.
        score_n: (N,).  tags_nt: (N, T).
    """
    person_n = np.zeros(len(joint_n), np.intp)
    tag_sum = np.zeros(tags_nt.shape)  # at most one person per peak
    members = np.zeros((len(joint_n), 1))
    founded = 0
    bounds = np.searchsorted(joint_n, np.arange(len(order) + 1))
    for joint in order:
        start, stop = bounds[joint], bounds[joint + 1]
        chosen = np.full(stop - start, -1, np.intp)
        count = min(founded, most)
        if count and start < stop:
            gap = tags_nt[start:stop, None] - tag_sum[None, :count] / members[None, :count]
            distance = np.sqrt((gap * gap).sum(axis=2))
            peak, person = rule(distance, score_n[start:stop], tag_threshold)
            chosen[peak] = person
        alone = np.flatnonzero(chosen < 0)
        chosen[alone] = np.arange(founded, founded + len(alone))
        founded += len(alone)
        person_n[start:stop] = chosen
        tag_sum[chosen] += tags_nt[start:stop]
        members[chosen] += 1
    return person_n


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
        if np.isnan(square.flat[best[person]]):  # numpy takes that for the largest
            best[person] = np.where(np.isnan(square), -np.inf, square).argmax()
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
