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
    heat_jhw: Floats, tags_jhwt: Floats, missing_pj: Floats, tags_pt: Floats, likely: float
) -> tuple[Ints, Ints, Ints, Ints]:
    """For each missing joint the pixel with the highest `heat - round(distance of its tag to the person's
    tag)`.

    Args:
        missing_pj: (P, J) bool, which joints to look for.
        tags_pt: (P, T) the people's tags.
        likely: only pixels above this heat are looked at first; the others when those cannot settle it. It
            changes the time taken, not the result.

    Returns:
        person, joint, row, column of the pixels found, each (M,), where the heat there is positive.
    """
    people, joints, places = [], [], []
    for joint in np.flatnonzero(missing_pj.any(axis=0)):
        person = np.flatnonzero(missing_pj[:, joint])
        people.append(person)
        joints.append(np.full(len(person), joint))
        places.append(_best_places(heat_jhw[joint], tags_jhwt[joint], tags_pt[person], likely))
    if not people:
        none = np.zeros(0, np.intp)
        return none, none, none, none
    person_m, joint_m, place_m = np.concatenate(people), np.concatenate(joints), np.concatenate(places)
    row, column = np.divmod(place_m, heat_jhw.shape[2])
    found = heat_jhw[joint_m, row, column] > 0
    return person_m[found], joint_m[found], row[found], column[found]


def _best_places(heat_hw: Floats, tags_hwt: Floats, tags_pt: Floats, likely: float) -> Ints:
    """(P,) flat places of the highest `heat - round(distance)`, first one of equals."""
    heat = heat_hw.ravel()
    best = np.zeros(len(tags_pt), np.intp)
    open_ = np.ones(len(tags_pt), bool)
    near = np.flatnonzero(heat_hw > likely)
    if len(near):
        row, column = np.divmod(near, heat_hw.shape[1])
        near_tags = sample_tags(tags_hwt[None], np.zeros_like(row), row, column, heat_hw.shape)
        value = heat[near] - np.round(_distance(near_tags, tags_pt))
        choice = value.argmax(axis=1)
        best[:] = near[choice]
        # What was not looked at has a heat of at most `likely`, so it cannot beat a value above that.
        open_ = value[np.arange(len(value)), choice] <= likely
    if open_.any():
        all_tags = _enlarge(tags_hwt, heat_hw.shape).reshape(len(heat), -1)
        best[open_] = [_best_of_all(heat, all_tags, tag) for tag in tags_pt[open_]]
    return best


def _best_of_all(heat: Floats, all_tags: Floats, tag: Floats) -> int:
    return int((heat - np.round(_distance(all_tags, tag[None])[0])).argmax())


def _distance(tags_nt: Floats, tags_pt: Floats) -> Floats:
    """(P, N) Euclidean distances."""
    square = np.zeros((len(tags_pt), len(tags_nt)), np.float32)
    for t in range(tags_nt.shape[1]):
        gap = tags_nt[None, :, t] - tags_pt[:, t, None]
        square += gap * gap
    return np.sqrt(square)


def _enlarge(tags_hwt: Floats, size: tuple[int, ...]) -> Floats:
    """(H, W, T) tags at heatmap size, by the same bilinear rule as `sample_tags`."""
    if tags_hwt.shape[:2] == size:
        return tags_hwt
    planes = [cv2.resize(np.ascontiguousarray(plane), size[::-1]) for plane in np.moveaxis(tags_hwt, 2, 0)]
    return np.stack(planes, axis=-1)
