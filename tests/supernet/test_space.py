"""Search spaces: size, codes, sampling, validation."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from supernet import Arch, InputError, SearchSpace, Stage


def plain(**changes: Any) -> dict[str, Any]:
    """A space of a few hundred architectures, with changes."""
    stages = [
        {"width": [16, 8], "depth": [2, 1], "kernel": [3, 5], "expansion": [4]},
        {"width": [16], "depth": [1], "kernel": [3], "expansion": [4, 6]},
        {"width": [24], "depth": [1, 3], "kernel": [5], "expansion": [4]},
        {"width": [40], "depth": [1], "kernel": [3], "expansion": [4]},
    ]
    value = {"resolution": [96, 64], "stem": [8], "stages": stages, "head": [[16], [16, 8], [8]]}
    return {**value, **changes}


def every_arch(space: SearchSpace) -> set[Arch]:
    """All architectures, listed without codes."""

    def stages(choices: Any) -> list[Stage]:
        blocks = list(itertools.product(choices.kernel, choices.expansion))
        return [
            Stage(width, tuple(k for k, _ in row), tuple(e for _, e in row))
            for width in choices.width
            for depth in choices.depth
            for row in itertools.product(blocks, repeat=depth)
        ]

    parts = [space.resolution, space.stem, *(stages(choices) for choices in space.stages), *space.head]
    return {Arch(row[0], row[1], row[2:6], row[6:]) for row in itertools.product(*parts)}


def test_size_counts_different_architectures() -> None:
    space = SearchSpace.from_dict(plain())
    archs = every_arch(space)
    assert space.size() == len(archs) == 2 * (2 * (2 + 4)) * 2 * 2 * 2
    codes = space.encode(sorted(archs, key=repr))
    assert len(np.unique(codes, axis=0)) == len(archs)
    assert set(space.decode(codes)) == archs
    assert all(space.contains(arch) for arch in archs)


def test_size_of_the_paper_s_space() -> None:
    def stage(depths: range) -> int:
        return 4 * sum(3**depth for depth in depths)

    expected = 5 * 3 * 4**3 * stage(range(2, 7)) * stage(range(4, 9)) * stage(range(4, 11)) ** 2
    assert SearchSpace.load("litepose").size() == expected


def test_choices_are_those_of_the_paper() -> None:
    space = SearchSpace.load("litepose")
    assert space.resolution == (256, 320, 384, 448, 512)
    assert space.stem == (8, 16, 24)
    assert [stage.width for stage in space.stages] == [
        (8, 16, 24, 32),
        (16, 32, 48, 64),
        (24, 48, 72, 96),
        (40, 80, 120, 160),
    ]
    depths = [(stage.depth[0], stage.depth[-1], len(stage.depth)) for stage in space.stages]
    assert depths == [(2, 6, 5), (4, 8, 5), (4, 10, 7), (4, 10, 7)]
    assert {stage.kernel for stage in space.stages} == {(3, 5, 7)}
    assert {stage.expansion for stage in space.stages} == {(6,)}
    assert space.head == ((16, 32, 48, 64), (16, 24, 40, 48), (8, 16, 24, 32))
    expand = SearchSpace.load("litepose_expand")
    assert {stage.expansion for stage in expand.stages} == {(3, 4, 6)}
    assert expand.largest() == space.largest()


@pytest.mark.parametrize("name", ["tiny", "litepose", "litepose_expand"])
def test_codes_round_trip(name: str) -> None:
    space = SearchSpace.load(name)
    codes = space.sample_codes(np.random.default_rng(0), 200)
    archs = space.decode(codes)
    np.testing.assert_array_equal(space.encode(archs), codes)
    assert all(space.contains(arch) for arch in archs)
    raw = np.random.default_rng(1).integers(0, space.num_choices, size=(50, len(space.genes)))
    np.testing.assert_array_equal(space.encode(space.decode(raw)), space.canonical(raw))


def test_extremes() -> None:
    space = SearchSpace.from_dict(plain())
    assert space.smallest().stages[0] == Stage(8, (3,), (4,))
    assert space.largest().stages[0] == Stage(16, (5, 5), (4, 4))
    assert space.largest().head == (16, 16, 8)
    assert space.middle().stages[0] == Stage(8, (3,), (4,))
    assert SearchSpace.load("litepose").middle().resolution == 384
    for arch in (space.smallest(), space.middle(), space.largest()):
        assert space.contains(arch)


def test_sampling_is_uniform_and_repeats() -> None:
    space = SearchSpace.load("litepose_expand")
    codes = space.sample_codes(np.random.default_rng(3), 20000)
    np.testing.assert_array_equal(codes, space.sample_codes(np.random.default_rng(3), 20000))
    active = space.active(codes)
    for gene, column, alive in zip(space.genes, codes.T, active.T, strict=True):
        counts = np.bincount(column[alive], minlength=len(gene.choices))
        expected = alive.sum() / len(gene.choices)
        # Five standard deviations of a count.
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected), gene.name
        assert not column[~alive].any()
    assert space.sample(np.random.default_rng(9)) == space.sample(np.random.default_rng(9))


def test_foreign_architectures_and_codes() -> None:
    space, other = SearchSpace.load("litepose"), SearchSpace.load("tiny")
    arch = other.largest()
    assert not space.contains(arch)
    with pytest.raises(InputError, match="not in space 'litepose': resolution 128 is not one of"):
        space.encode([arch])
    codes = space.encode([space.largest()])
    for wrong in (codes[:, 1:], codes[0], codes + 10, codes - 100, codes.astype(float)):
        with pytest.raises(InputError, match="codes"):
            space.decode(wrong)
    assert space.decode(codes[:0]) == []


def test_files(tmp_path: Path) -> None:
    space = SearchSpace.from_dict(plain(name="mine"))
    space.save(tmp_path / "mine.yaml")
    assert SearchSpace.load(tmp_path / "mine.yaml") == space
    (tmp_path / "unnamed.yaml").write_text(yaml.safe_dump(plain()))
    assert SearchSpace.load(tmp_path / "unnamed.yaml").name == "unnamed"
    with pytest.raises(InputError, match=r"litepos'.*litepose, litepose_expand"):
        SearchSpace.load("litepos")


CHANGES: list[tuple[tuple[Any, ...], Any, str]] = [
    (("resolution",), [100], "resolution: 100 is not a multiple of 32"),
    (("resolution",), 96, "resolution: expected a list"),
    (("resolution",), [], "resolution: expected a list"),
    (("resolution",), [8192], "resolution: 8192 is not between"),
    (("stem",), [8, 8], "stem: a choice is listed twice"),
    (("stem",), [8.0], "stem: expected an integer"),
    (("stem",), list(range(8, 42)), "stem: 34 choices; at most 32"),
    (("stages",), [], "stages: expected a list of 4"),
    (("head",), [[16], [16]], "head: expected a list of 3"),
    (("head", 2), [0], "head 3: 0 is not between"),
    (("stages", 1), [16], "stage 2: expected a mapping"),
    (("stages", 1, "kernel"), [3, 4], "stage 2 kernel: 4 is even"),
    (("stages", 1, "kernel"), [33], "stage 2 kernel: 33"),
    (("stages", 1, "depth"), [0, 1], "stage 2 depth: 0"),
    (("stages", 1, "depth"), [65], "stage 2 depth: 65"),
    (("stages", 1, "expansion"), ["6"], "stage 2 expansion: expected an integer"),
    (("stages", 1, "widht"), [8], "stage 2: unknown key 'widht'"),
    (("name",), 3, "name: expected a text"),
    (("schema",), 9, "schema 9"),
    (("extra",), 1, "unknown key 'extra'"),
]


@pytest.mark.parametrize(("path", "value", "message"), CHANGES)
def test_wrong_values_are_named(path: tuple[Any, ...], value: Any, message: str) -> None:
    changed = copy.deepcopy(plain())
    node: Any = changed
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(InputError, match=message):
        SearchSpace.from_dict(changed)
