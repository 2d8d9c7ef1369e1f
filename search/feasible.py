"""Random architectures within limits of cost: uniform where that finds enough, of all sizes where not."""

from __future__ import annotations

import numpy as np

from supernet.constrained import tilted_codes
from supernet.errors import InputError
from supernet.space import Codes
from supernet.space import SearchSpace

from .operators import Fits
from .operators import unique_rows

BATCH = 4096
UNIFORM_BATCHES = 12
TILTED_BATCHES = 60
STRONGEST_TILT = 4.0


def sample_all_sizes(space: SearchSpace, rng: np.random.Generator, n: int) -> Codes:
    """(n, G) codes from the whole range of cost: each row leans to small or large choices by its own amount.

    Uniform choices meet in the middle (a sum of many), so the ends of the range would never be seen.
    """
    return tilted_codes(space, rng, rng.uniform(-STRONGEST_TILT, STRONGEST_TILT, size=n))


def sample_fitting(
    space: SearchSpace, rng: np.random.Generator, n: int, fits: Fits, known: set[bytes] | None = None
) -> Codes:
    """Up to n distinct architectures that fit: uniform as far as bounded rejection allows.

    Args:
        space: where to draw from.
        rng: the source of randomness.
        n: how many.
        fits: (N, G) codes to (N,) booleans.
        known: rows (as bytes) to leave out.

    Returns:
        (m, G) codes, m <= n; fewer only if the bounded search found no more.
    """
    seen = set(known or ())
    found: list[Codes] = [np.zeros((0, len(space.genes)), dtype=np.int64)]
    count = 0
    for number in range(UNIFORM_BATCHES + TILTED_BATCHES):
        if count >= n:
            break
        tilted = number >= UNIFORM_BATCHES
        codes = sample_all_sizes(space, rng, BATCH) if tilted else space.sample_codes(rng, BATCH)
        codes = codes[fits(codes)]
        codes = codes[unique_rows(codes, seen)][: n - count]
        seen.update(row.tobytes() for row in codes)
        found.append(codes)
        count += len(codes)
    return np.concatenate(found)


def require_some(space: SearchSpace, rng: np.random.Generator, fits: Fits, what: str) -> Codes:
    """One architecture that fits; InputError naming `what` if none is found."""
    for codes in (space.encode([space.smallest()]), sample_fitting(space, rng, 1, fits)):
        if len(codes) and fits(codes).any():
            return codes[:1]
    raise InputError(f"{what}: no architecture of space {space.name!r} meets this")
