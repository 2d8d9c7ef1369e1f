"""Calibration: statistics of one subnet from images, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from subnets import extract
from supernet import SearchSpace, Supernet
from supernet.evaluation import calibrate, calibrate_by

TINY = SearchSpace.load("tiny")


def batches(count: int, side: int = 64) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, side, side, generator=generator) for _ in range(count)]


def test_one_batch_gives_its_own_statistics() -> None:
    net = Supernet(TINY).eval()
    (images,) = batches(1)
    arch = TINY.smallest()
    assert calibrate(net, arch, [images]) == 1
    with torch.no_grad():
        before = net.unit("stem.conv").conv(images, layer_of(arch))  # type: ignore[misc]
        norm = net.unit("stem.conv").norm
        assert norm is not None
        torch.testing.assert_close(norm.running_mean, before.mean((0, 2, 3)))
        torch.testing.assert_close(norm.running_var, before.transpose(0, 1).flatten(1).var(1))
        evaluated = net(images, arch)
        trained = net.train()(images, arch)
    # Variances differ by n / (n - 1) only.
    for left, right in zip(evaluated, trained, strict=True):
        torch.testing.assert_close(left, right, rtol=0.05, atol=0.05 * right.abs().max().item())


def layer_of(arch: Any) -> Any:
    from supernet.network import active_layers

    return active_layers(arch, 14)["stem.conv"]


def test_batches_are_averaged() -> None:
    first, second = batches(2)
    net = Supernet(TINY).eval()
    norm = net.unit("stem.conv").norm
    assert norm is not None
    found = []
    for chosen in ([first], [second], [first, second]):
        calibrate(net, TINY.smallest(), chosen)
        found.append(norm.running_mean.clone())
    torch.testing.assert_close(found[2], (found[0] + found[1]) / 2)


def test_result_does_not_depend_on_the_past(disturb: Callable[[Any, int], None]) -> None:
    net = Supernet(TINY).eval()
    arch = TINY.largest()
    calibrate(net, arch, batches(2))
    clean = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    for name, tensor in net.state_dict().items():
        if "running" in name:
            tensor.fill_(float("nan"))
    calibrate(net, arch, batches(2))
    assert all(torch.equal(tensor, clean[name]) for name, tensor in net.state_dict().items())


def test_modes_weights_and_gradients_are_left_alone() -> None:
    net = Supernet(TINY).eval()
    net.unit("stem.conv").train()
    weights = {name: parameter.clone() for name, parameter in net.named_parameters()}
    modes = {name: module.training for name, module in net.named_modules()}
    calibrate(net, TINY.smallest(), batches(1))
    assert modes == {name: module.training for name, module in net.named_modules()}
    assert all(torch.equal(parameter, weights[name]) for name, parameter in net.named_parameters())
    assert all(parameter.grad is None for parameter in net.parameters())
    norm = net.unit("stem.conv").norm
    assert norm is not None
    assert norm.momentum is None


def test_a_static_network_gets_the_same_statistics() -> None:
    net = Supernet(TINY).eval()
    arch = TINY.smallest()
    sub = extract(net, arch)
    calibrate(net, arch, batches(2))
    calibrate_by(sub, sub, batches(2))
    expected = extract(net, arch).state_dict()
    for name, tensor in sub.state_dict().items():
        if "num_batches_tracked" not in name:
            assert torch.equal(tensor, expected[name]), name


def test_no_batch_is_an_error_and_changes_nothing() -> None:
    net = Supernet(TINY)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match="at least one batch"):
        calibrate(net, TINY.smallest(), [])
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
