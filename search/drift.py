"""Slow changes of a device's speed during a measurement, taken out of its times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from .board_script import visit_order

Floats = npt.NDArray[np.float64]
# Visits over which speed is averaged, as a standard deviation.
WIDTH = 8.0
# A single visit says no more than this about the speed around it (logarithm).
LIMIT = 0.3
ITERATIONS = 5


def without_drift(milliseconds: Floats, things: npt.NDArray[np.int64]) -> Floats:
    """Times as they would have been at the measurement's mean speed.

    A clock that changes, heat, or a neighbour on the same machine slow everything for seconds to minutes.
    Since many things are visited in turn, in another order every round, that shows as visits which are all
    slower than the same things' other visits.

    Args:
        milliseconds: (V,) times in the order in which they were measured.
        things: (V,) what was timed, 0 .. N - 1; each at least twice.

    Returns:
        (V,) times; the mean of their logarithms is that of the given ones.
    """
    logs = np.log(milliseconds)
    visits = [np.flatnonzero(things == thing) for thing in range(things.max() + 1)]
    drift = np.zeros(len(logs))
    for _ in range(ITERATIONS):
        own = np.empty(len(logs))
        for places in visits:
            own[places] = np.median(logs[places] - drift[places])
        drift = gaussian_filter1d(np.clip(logs - own, drift - LIMIT, drift + LIMIT), WIDTH, mode="nearest")
        drift -= drift.mean()
    return np.asarray(np.exp(logs - drift))


def steady_rounds(times: Floats) -> Floats:
    """(N, R) times of N things in R rounds (`board_script.time_rounds`) without drift."""
    order = np.array(visit_order(*times.shape))
    places = order, np.arange(times.shape[1])[:, None]
    found = np.empty_like(times)
    found[places] = without_drift(times[places].ravel(), order.ravel()).reshape(order.shape)
    return found
