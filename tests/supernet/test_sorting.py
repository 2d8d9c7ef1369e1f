"""Channel sorting: same output of the largest network, importance descending, mirrors follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from supernet import SearchSpace, Supernet
from supernet.evaluation import calibrate
from supernet.sorting import channel_groups, importance, sort_channels

TINY = SearchSpace.load("tiny")
Disturb = Callable[[Any, int], None]


def images(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def moved(net: Supernet, x: torch.Tensor) -> float:
    """Largest change of the largest network's outputs by sorting, relative to their largest value."""
    arch = net.space.largest()
    with torch.no_grad():
        before = net(x, arch)
        sort_channels(net)
        after = net(x, arch)
    return max(((a - b).abs().max() / a.abs().max()).item() for a, b in zip(before, after, strict=True))


def test_the_largest_network_computes_the_same(disturb: Disturb) -> None:
    net = Supernet(TINY).eval()
    disturb(net, 1)
    calibrate(net, TINY.largest(), [images(96)])
    assert moved(net, images(96)) < 1e-5


@pytest.mark.parametrize("name", ["tiny", "litepose"])
def test_the_change_is_rounding_alone(name: str, disturb: Disturb) -> None:
    net = Supernet(SearchSpace.load(name)).double().eval()
    disturb(net, 2)
    assert moved(net, images(64).double()) < 1e-11


def test_importance_descends_and_the_smallest_changes(disturb: Disturb) -> None:
    net = Supernet(TINY).eval()
    disturb(net, 3)
    with torch.no_grad():
        before = net(images(64), TINY.smallest())[0]
        sort_channels(net)
        after = net(images(64), TINY.smallest())[0]
    assert not torch.allclose(before, after)
    tensors = net.state_dict()
    for group in channel_groups(TINY.largest(), 14):
        if not group.fixed:
            values = importance(group, tensors)
            assert (values[:-1] >= values[1:]).all()


def test_importance_by_hand() -> None:
    """The residual stream of stage 1: read by the next blocks, the next stage and three head layers."""
    net = Supernet(TINY)
    tensors = net.state_dict()
    consumers = {
        "stages.0.1.expand.conv.weight": 1,
        "stages.1.0.expand.conv.weight": 1,
        "head.2.raw.conv.weight": 0,
        "head.1.output_raw.project.conv.weight": 1,
    }
    (stream,) = [
        group
        for group in channel_groups(TINY.largest(), 14)
        if ("stages.0.0.project.conv.weight", 0) in group.members
    ]
    assert set(stream.consumers) == set(consumers.items())
    expected = torch.zeros(16, dtype=torch.float64)
    for name, axis in consumers.items():
        for channel in range(16):
            expected[channel] += tensors[name].select(axis, channel).double().abs().sum()
    torch.testing.assert_close(importance(stream, tensors), expected)
    members = {name for name, _ in stream.members}
    assert {"stages.0.1.project.conv.weight", "head.1.output_raw.depthwise.norm.running_mean"} <= members


def test_every_axis_with_channels_belongs_to_one_group() -> None:
    net = Supernet(TINY)
    groups = channel_groups(TINY.largest(), 14)
    axes = [axis for group in groups for axis in group.members]
    assert len(axes) == len(set(axes))
    expected = set()
    for name, tensor in net.state_dict().items():
        if "transforms" in name or "num_batches" in name:
            continue
        expected |= {(name, axis) for axis in ((0, 1) if tensor.ndim == 4 and tensor.shape[1] > 1 else (0,))}
    assert set(axes) == expected
    fixed = {name for group in groups if group.fixed for name, _ in group.members}
    assert fixed == {
        "stem.conv.conv.weight",
        *(f"head.{step}.output_{path}.project.conv.weight" for step in (1, 2) for path in ("refined", "raw")),
    }


def test_mirrors_follow_their_parameters(disturb: Disturb) -> None:
    net = Supernet(TINY).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for step in range(2):
        optimizer.zero_grad()
        sum(output.square().mean() for output in net(images(64) + step, TINY.largest())).backward()
        optimizer.step()
    names = {parameter: name for name, parameter in net.named_parameters()}
    old = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    for parameter, state in optimizer.state.items():
        # Moments that say which weight they belong to.
        state["exp_avg"].copy_(parameter.detach())
    permutations = sort_channels(net)
    moments = {names[parameter]: state["exp_avg"] for parameter, state in optimizer.state.items()}
    steps = {names[parameter]: state["step"] for parameter, state in optimizer.state.items()}
    permutations.apply(moments)
    permutations.apply(steps)
    assert moments
    for name, moment in moments.items():
        assert torch.equal(moment, dict(net.named_parameters())[name]), name
    changed = [name for name, tensor in net.named_parameters() if not torch.equal(tensor, old[name])]
    assert len(changed) > len(old) / 2


def test_sorting_twice_changes_nothing(disturb: Disturb) -> None:
    net = Supernet(TINY)
    disturb(net, 4)
    sort_channels(net)
    once = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    sort_channels(net)
    assert all(torch.equal(tensor, once[name]) for name, tensor in net.state_dict().items())


def test_a_mirror_of_another_shape_is_refused_whole() -> None:
    net = Supernet(TINY)
    permutations = sort_channels(net)
    good = torch.arange(32.0)
    with pytest.raises(ValueError, match=r"stem\.project\.norm\.bias \(3,\): expected 16 channels"):
        permutations.apply({"stem.conv.norm.weight": good, "stem.project.norm.bias": torch.zeros(3)})
    assert torch.equal(good, torch.arange(32.0))
