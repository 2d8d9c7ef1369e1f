"""Genetic operators on codes: mutation and crossover over every gene, shrinking into limits."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from supernet.space import Codes
from supernet.space import SearchSpace

Mask = npt.NDArray[np.bool_]
Fits = Callable[[Codes], Mask]


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


def neighbours(space: SearchSpace, row: Codes) -> Codes:
    """All architectures that differ from one (G,) row in exactly one gene with an effect."""
    found = []
    active = space.active(row[None])[0]
    for column in np.flatnonzero(active & (space.num_choices > 1)):
        for choice in range(int(space.num_choices[column])):
            if choice != row[column]:
                other = row.copy()
                other[column] = choice
                found.append(other)
    return space.canonical(np.array(found, dtype=np.int64).reshape(-1, len(row)))


def shrink(space: SearchSpace, rng: np.random.Generator, codes: Codes, fits: Fits) -> Codes:
    """`codes` with genes lowered one choice at a time, at random, until every row `fits`.

    Feasible by construction for limits that the smallest architecture meets; rows that reach the smallest
    without fitting stay there.
    """
    codes = codes.copy()
    left = np.flatnonzero(~fits(codes))
    while len(left):
        rows = codes[left]
        chance = rng.random(rows.shape) * (rows > 0)
        gene = chance.argmax(axis=1)
        rows[np.arange(len(rows)), gene] -= rows[np.arange(len(rows)), gene] > 0
        codes[left] = rows = space.canonical(rows)
        left = left[~fits(rows) & (rows > 0).any(axis=1)]
    return codes


def unique_rows(codes: Codes, known: Collection[bytes] = ()) -> Mask:
    """(N,) the first of equal rows, leaving out those whose bytes are in `known`."""
    keep = np.zeros(len(codes), dtype=bool)
    if not len(codes):
        return keep
    # Choices are few (`space_form.MAX_CHOICES`), so a row's bytes are its genes.
    small = np.ascontiguousarray(codes, dtype=np.uint8)
    keys = small.view(np.dtype((np.void, small.shape[1]))).ravel()
    keep[np.unique(keys, return_index=True)[1]] = True
    if known:
        keep[keep] = [row.tobytes() not in known for row in codes[keep]]
    return keep
