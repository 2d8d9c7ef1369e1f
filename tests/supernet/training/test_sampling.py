"""Subnets of a step follow from (seed, step) and the rule."""

from __future__ import annotations

import numpy as np
import pytest

from supernet import InputError, SearchSpace
from supernet.sampling import SubnetSchedule, fixed_subnets
from supernet.training.options import SamplingOptions

TINY = SearchSpace.load("tiny")


def drawn(options: SamplingOptions, steps: range, seed: int = 0):
    schedule = SubnetSchedule(TINY, options, seed)
    return [schedule.subnets(step) for step in steps]


def test_sandwich_runs_the_ends_and_random_subnets_at_one_resolution():
    resolutions = set()
    for subnets in drawn(SamplingOptions(random=3), range(40)):
        assert [subnet.role for subnet in subnets] == ["largest", "random", "random", "random", "smallest"]
        (resolution,) = {subnet.arch.resolution for subnet in subnets}
        resolutions.add(resolution)
        assert all(TINY.contains(subnet.arch) for subnet in subnets)
        codes = TINY.encode([subnets[0].arch, subnets[-1].arch])[:, 1:]
        expected = TINY.encode([TINY.largest(), TINY.smallest()])[:, 1:]
        assert np.array_equal(codes, expected)
    assert resolutions == {96, 128}


def test_a_step_does_not_depend_on_the_steps_before_it():
    late = SubnetSchedule(TINY, SamplingOptions(), seed=3)
    assert late.subnets(17) == drawn(SamplingOptions(), range(18), seed=3)[-1]
    assert late.subnets(17) != late.subnets(18)
    assert late.subnets(17) != SubnetSchedule(TINY, SamplingOptions(), seed=4).subnets(17)


def test_random_rule_runs_random_subnets_only():
    runs = drawn(SamplingOptions(rule="random", random=1), range(30))
    assert all([subnet.role for subnet in subnets] == ["random"] for subnets in runs)
    assert len({subnets[0].arch for subnets in runs}) == 30


def test_largest_first_then_widening_opens_one_group_after_another():
    order = ("depth", "kernel", "width", "expansion")
    options = SamplingOptions(largest_first=5, widening=10, widening_order=order, random=4)
    schedule = SubnetSchedule(TINY, options)
    assert [subnet.role for subnet in schedule.subnets(4)] == ["largest"]
    assert [schedule.phase(step) for step in (5, 14, 15, 25, 35, 900)] == [1, 1, 2, 3, 4, 4]
    first = [subnet.arch for step in range(5, 15) for subnet in schedule.subnets(step)]
    assert {kernel for arch in first for stage in arch.stages for kernel in stage.kernels} == {7}
    assert {stage.width for arch in first for stage in arch.stages} == {16, 32, 48, 80}
    assert {stage.depth for arch in first for stage in arch.stages} == {1, 2, 3}
    second = [subnet.arch for step in range(15, 25) for subnet in schedule.subnets(step)]
    assert {kernel for arch in second for stage in arch.stages for kernel in stage.kernels} == {3, 5, 7}
    assert {arch.head for arch in second} == {TINY.largest().head}
    third = [subnet.arch for step in range(25, 35) for subnet in schedule.subnets(step)]
    assert len({arch.head for arch in third}) == 8
    assert {stage.width for arch in third for stage in arch.stages} > {8, 16, 24, 40}


def test_resolutions_can_be_limited_but_not_invented():
    schedule = SubnetSchedule(TINY, SamplingOptions(resolutions=[96]))
    assert {schedule.resolution(step) for step in range(20)} == {96}
    with pytest.raises(InputError, match="160 is not in space tiny"):
        SubnetSchedule(TINY, SamplingOptions(resolutions=[160]))


def test_fixed_subnets_are_different_and_stay_the_same():
    archs = fixed_subnets(TINY, 6, seed=1)
    assert len(set(archs)) == 6
    assert archs == fixed_subnets(TINY, 6, seed=1)
    assert fixed_subnets(TINY, 0) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rule": "sandwitch"}, "train.sampling.rule='sandwitch' is not one of sandwich, random"),
        ({"rule": "random", "random": 0}, "train.sampling.random=0 must be 1 or more"),
        ({"widening_order": ("depth",)}, "must order kernel, depth, expansion, width"),
    ],
)
def test_bad_options_are_named(values, message):
    with pytest.raises(InputError, match=message.replace("[", r"\[")):
        SamplingOptions(**values)
