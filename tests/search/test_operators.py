"""Genetic operators and sampling within limits."""

from __future__ import annotations

import numpy as np
import pytest
from analytic import tiny_problem

from search.strategies.operators import crossover, mutate, sample_feasible, shrink, unique_rows
from supernet import SearchSpace


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return SearchSpace.load("litepose_expand")


def test_children_are_members_and_reach_every_gene(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    parents = space.sample_codes(rng, 2000)
    children = mutate(space, rng, parents, 0.1)
    space.check_codes(children)
    assert (children == space.canonical(children)).all()
    assert (children != parents).any(axis=1).all()
    changed = (children != parents).any(axis=0)
    assert changed[space.num_choices > 1].all()
    assert not changed[space.num_choices == 1].any()


def test_mutation_draws_each_other_choice(space: SearchSpace) -> None:
    rng = np.random.default_rng(1)
    column = space.gene_index["resolution"]
    parents = np.repeat(space.sample_codes(rng, 1), 20000, axis=0)
    values = mutate(space, rng, parents, 0.2)[:, column]
    counts = np.bincount(values[values != parents[0, column]], minlength=5)
    others = counts[np.arange(5) != parents[0, column]]
    assert others.min() > 0.9 * others.mean()


def test_crossover_mixes_resolution_and_the_rest(space: SearchSpace) -> None:
    rng = np.random.default_rng(2)
    mothers, fathers = space.sample_codes(rng, 500), space.sample_codes(rng, 500)
    children = crossover(space, rng, mothers, fathers)
    space.check_codes(children)
    active = space.active(children)
    assert ((children == mothers) | (children == fathers) | ~active).all()
    differs = mothers[:, 0] != fathers[:, 0]
    from_mother = (children[:, 0] == mothers[:, 0])[differs].mean()
    assert 0.4 < from_mother < 0.6


def test_shrink_fits_by_construction() -> None:
    problem = tiny_problem((0.2,))
    rng = np.random.default_rng(3)
    codes = problem.space.sample_codes(rng, 3000)
    small = shrink(problem.space, rng, codes, problem.feasible)
    assert problem.feasible(small).all()
    assert (small <= codes).all()
    untouched = problem.feasible(codes)
    assert (small[untouched] == codes[untouched]).all()


def test_shrink_ends_where_nothing_fits() -> None:
    space = SearchSpace.load("tiny")
    codes = space.sample_codes(np.random.default_rng(4), 50)
    shrunk = shrink(space, np.random.default_rng(5), codes, lambda rows: np.zeros(len(rows), dtype=bool))
    assert (shrunk == 0).all()


def test_sampling_is_distinct_fits_and_leaves_known_out() -> None:
    problem = tiny_problem((0.2, 0.5))
    first = sample_feasible(problem.space, np.random.default_rng(7), 50, problem.feasible)
    known = {row.tobytes() for row in first}
    more = sample_feasible(problem.space, np.random.default_rng(7), 50, problem.feasible, known)
    everything = np.concatenate([first, more])
    assert problem.feasible(everything).all()
    assert unique_rows(everything).all()
    assert len(everything) == 100


def test_sampling_reaches_the_largest_costs() -> None:
    problem = tiny_problem()
    largest = problem.costs.of_largest()[0]

    def feasible(codes: np.ndarray) -> np.ndarray:
        return problem.costs.predict(codes)[:, 0] > 0.97 * largest

    assert len(sample_feasible(problem.space, np.random.default_rng(8), 10, feasible)) == 10
