"""Peaks to persons by their tags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from .peaks import Ints
from .people import Floats


def match(
    joint_n: Ints, score_n: Floats, tags_nt: Floats, order: Sequence[int], most: int, tag_threshold: float
) -> Ints:
    """(N,) the person each peak belongs to, numbered in the order in which persons were founded.

    Joints are visited in `order`. The peaks of one joint and the first `most` persons are paired by the
    Hungarian method on `round(tag distance) * 100 - score`, a person's tag being the mean of its members';
    pairs closer than `tag_threshold` join, every other peak founds a person.

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
            mean_tags = tag_sum[:count] / members[:count]
            row, column, distance = _pair(tags_nt[start:stop], mean_tags, score_n[start:stop])
            close = distance < tag_threshold
            chosen[row[close]] = column[close]
        alone = np.flatnonzero(chosen < 0)
        chosen[alone] = np.arange(founded, founded + len(alone))
        founded += len(alone)
        person_n[start:stop] = chosen
        tag_sum[chosen] += tags_nt[start:stop]
        members[chosen] += 1
    return person_n


def _pair(tags_nt: Floats, mean_tags: Floats, score_n: Floats) -> tuple[Ints, Ints, Floats]:
    """Paired peaks, persons and their tag distances."""
    gap = tags_nt[:, None] - mean_tags[None]
    distance = np.sqrt((gap * gap).sum(axis=2))
    cost = np.round(distance) * 100
    if len(tags_nt) > len(mean_tags):
        # The score only says which peaks stay alone. Otherwise whole numbers keep equal costs exactly equal,
        # and the higher peak then goes to the person founded earlier.
        cost = cost - score_n[:, None]
    row, column = linear_sum_assignment(np.nan_to_num(cost, nan=1e10, posinf=1e10))
    return row, column, distance[row, column]
