"""Sampling near a cost target."""

from __future__ import annotations

import numpy as np
import pytest

from supernet import InputError, SearchSpace
from supernet.cost import MacsTable, ParamsTable, count_macs
from supernet.sampling import sample_near


@pytest.mark.parametrize("name", ["tiny", "litepose_expand"])
@pytest.mark.parametrize("place", [0.02, 0.1, 0.4, 0.7, 0.95])
def test_reaches_the_whole_range(name: str, place: float) -> None:
    space = SearchSpace.load(name)
    table = MacsTable(space)
    low, high = (count_macs(arch) for arch in (space.smallest(), space.largest()))
    target = low + place * (high - low)
    codes = sample_near(space, table, np.random.default_rng(0), target, 0.02, 40)
    assert codes.shape == (40, len(space.genes))
    assert (np.abs(table.predict(codes) - target) <= 0.02 * target).all()
    assert len(np.unique(codes, axis=0)) == 40
    np.testing.assert_array_equal(codes, space.canonical(codes))
    np.testing.assert_array_equal(
        codes, sample_near(space, table, np.random.default_rng(0), target, 0.02, 40)
    )


def test_differs_in_more_than_size() -> None:
    space = SearchSpace.load("litepose")
    codes = sample_near(space, MacsTable(space), np.random.default_rng(1), 3.6e9, 0.02, 200)
    for gene in ("stem", "stages.0.width", "stages.3.depth", "head.0", "stages.1.kernel.0"):
        column = codes[:, space.gene_index[gene]]
        assert np.unique(column).size == space.num_choices[space.gene_index[gene]], gene
    assert np.unique(codes[:, 0]).size >= 4


def test_the_ends_are_reached_exactly() -> None:
    space = SearchSpace.load("litepose")
    table = MacsTable(space)
    for arch in (space.smallest(), space.largest()):
        codes = sample_near(space, table, np.random.default_rng(0), count_macs(arch), 0.0, 3)
        assert (table.predict(codes) == count_macs(arch)).all()
        assert len(codes) == 3


def test_other_costs() -> None:
    space = SearchSpace.load("litepose")
    table = ParamsTable(space)
    codes = sample_near(space, table, np.random.default_rng(0), 1.5e6, 0.01, 10)
    assert (np.abs(table.predict(codes) - 1.5e6) <= 1.5e4).all()


def test_infeasible_targets_name_the_range() -> None:
    space = SearchSpace.load("litepose")
    table = MacsTable(space)
    for target in (1e6, 1e12):
        with pytest.raises(InputError, match=r"reaches 120,\d+,\d+ to 10,895,\d+,\d+, nearest found"):
            sample_near(space, table, np.random.default_rng(0), target, 0.05, 1)
    value = SearchSpace.load("tiny").to_dict()
    stage = {"width": [8], "depth": [1], "kernel": [3], "expansion": [1]}
    gap = SearchSpace.from_dict({**value, "stem": [8, 512], "stages": [stage] * 4, "resolution": [96]})
    with pytest.raises(InputError, match=r"nearest found: .* and "):
        sample_near(gap, MacsTable(gap), np.random.default_rng(0), 1e8, 0.01, 1)


@pytest.mark.parametrize(
    ("target", "tolerance", "n"), [(0, 0.1, 1), (1e9, 1.5, 1), (1e9, -0.1, 1), (1e9, 0.1, 0)]
)
def test_senseless_arguments(target: float, tolerance: float, n: int) -> None:
    space = SearchSpace.load("litepose")
    with pytest.raises(InputError, match="cannot draw"):
        sample_near(space, MacsTable(space), np.random.default_rng(0), target, tolerance, n)


def test_many_near_a_target_are_all_different() -> None:
    space = SearchSpace.load("litepose")
    found = sample_near(space, MacsTable(space, 14), np.random.default_rng(0), 2e9, 0.02, 5000)
    assert len({row.tobytes() for row in found}) == 5000
