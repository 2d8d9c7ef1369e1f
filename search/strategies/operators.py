"""Genetic operators on codes: mutation and crossover over every gene, shrinking into limits."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from supernet.errors import InputError
from supernet.sampling import tilted_codes
from supernet.space import Codes, SearchSpace


def as_codes(space: SearchSpace, value: Any, what: str) -> Codes:
    """`value` as (N, G) codes of `space`; no rows at all may come in any shape.

    Raises:
        InputError: it is something else, which the message calls `what`.
    """
    try:
        codes = np.asarray(value)
    except ValueError:
        raise InputError(f"{what}: its rows are not equally long") from None
    if value is not None and not codes.size:
        return np.zeros((0, len(space.genes)), dtype=np.int64)
    try:
        space.check_codes(codes)
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
    return codes.astype(np.int64)


Mask = npt.NDArray[np.bool_]
Feasible = Callable[[Codes], Mask]


def mutate(space: SearchSpace, rng: np.random.Generator, codes: Codes, rate: float) -> Codes:
    """Children of (N, G) codes: each gene with two or more choices is redrawn with probability `rate`.

    At least one gene of each row changes; a redrawn gene takes any OTHER of its choices, uniformly.
    """
    free = np.flatnonzero(space.num_choices > 1)
    hit = np.zeros(codes.shape, dtype=bool)
    hit[:, free] = rng.random((len(codes), len(free))) < rate
    # One certain hit among the genes that have an effect, so that a child differs from its parent.
    weight = rng.random(codes.shape) * (space.active(codes) & (space.num_choices > 1))
    certain = not_hit(hit, space, codes)
    hit[np.flatnonzero(certain), weight.argmax(axis=1)[certain]] = True
    step = rng.integers(1, np.maximum(2, space.num_choices), size=codes.shape)
    moved = (codes + step) % space.num_choices
    return space.canonical(np.where(hit, moved, codes))


def not_hit(hit: Mask, space: SearchSpace, codes: Codes) -> Mask:
    """(N,) rows in which no gene with an effect was hit."""
    effective = hit & space.active(codes) & (space.num_choices > 1)
    return np.logical_not(effective.any(axis=1))


def crossover(space: SearchSpace, rng: np.random.Generator, mothers: Codes, fathers: Codes) -> Codes:
    """Children of (N, G) pairs: every gene, the resolution too, from either parent with equal chance."""
    return space.canonical(np.where(rng.random(mothers.shape) < 0.5, mothers, fathers))


def shrink(space: SearchSpace, rng: np.random.Generator, codes: Codes, feasible: Feasible) -> Codes:
    """`codes` with genes lowered one choice at a time, at random, until every row is feasible.

    Feasible by construction for limits that the smallest architecture meets; rows that reach the smallest
    without being feasible stay there.
    """
    codes = codes.copy()
    left = np.flatnonzero(~feasible(codes))
    while len(left):
        rows = codes[left]
        chance = rng.random(rows.shape) * (rows > 0)
        gene = chance.argmax(axis=1)
        rows[np.arange(len(rows)), gene] -= rows[np.arange(len(rows)), gene] > 0
        codes[left] = rows = space.canonical(rows)
        left = left[~feasible(rows) & (rows > 0).any(axis=1)]
    return codes


def unique_rows(codes: Codes, known: Collection[bytes] = ()) -> Mask:
    """(N,) the first of equal rows, leaving out those whose bytes are in `known`."""
    keep = np.zeros(len(codes), dtype=bool)
    if not len(codes):
        return keep
    # Choices are few (`supernet.errors.MAX_CHOICES`), so a row's bytes are its genes.
    small = np.ascontiguousarray(codes, dtype=np.uint8)
    keys = small.view(np.dtype((np.void, small.shape[1]))).ravel()
    keep[np.unique(keys, return_index=True)[1]] = True
    if known:
        keep[keep] = [row.tobytes() not in known for row in codes[keep]]
    return keep


BATCH = 4096
UNIFORM_BATCHES = 12
TILTED_BATCHES = 60
STRONGEST_TILT = 4.0


def sample_all_sizes(space: SearchSpace, rng: np.random.Generator, n: int) -> Codes:
    """(n, G) codes from the whole range of cost: each row leans to small or large choices by its own amount.

    Uniform choices meet in the middle (a sum of many), so the ends of the range would never be seen.
    """
    return tilted_codes(space, rng, rng.uniform(-STRONGEST_TILT, STRONGEST_TILT, size=n))


def sample_feasible(
    space: SearchSpace, rng: np.random.Generator, n: int, feasible: Feasible, known: set[bytes] | None = None
) -> Codes:
    """Up to n distinct feasible architectures: uniform as far as bounded rejection allows.

    Args:
        space: where to draw from.
        rng: the source of randomness.
        n: how many.
        feasible: (N, G) codes to (N,) booleans.
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
        codes = codes[feasible(codes)]
        codes = codes[unique_rows(codes, seen)][: n - count]
        seen.update(row.tobytes() for row in codes)
        found.append(codes)
        count += len(codes)
    return np.concatenate(found)


def require_some(space: SearchSpace, rng: np.random.Generator, feasible: Feasible, what: str) -> Codes:
    """One feasible architecture; InputError naming `what` if none is found."""
    for codes in (space.encode([space.smallest()]), sample_feasible(space, rng, 1, feasible)):
        if len(codes) and feasible(codes).any():
            return codes[:1]
    raise InputError(f"{what}: no architecture of space {space.name!r} meets this")
