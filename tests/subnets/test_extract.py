"""Extraction: the same outputs as the active supernet, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from subnets import extract
from subnets.network import fuse
from supernet import Arch, InputError, SearchSpace, Supernet
from supernet.cost import count_params
from supernet.evaluation import calibrate

Disturb = Callable[[Any, int], None]
TINY = SearchSpace.load("tiny")


def images(batch: int, side: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_equals_the_active_supernet_and_fuses(disturb: Disturb) -> None:
    space = SearchSpace.load("litepose")
    net = Supernet(space).eval()
    disturb(net, 0)
    for index, arch in enumerate(space.decode(space.sample_codes(np.random.default_rng(0), 10))):
        calibrate(net, arch, [images(2, 96, index)])
        sub = extract(net, arch)
        x = images(1, 128, 100 + index)
        with torch.no_grad():
            expected, found, fused = net(x, arch), sub(x), fuse(sub)(x)
        for want, have, close in zip(expected, found, fused, strict=True):
            assert torch.equal(want, have)
            assert (want - close).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_in_either_memory_format(memory_format: torch.memory_format, disturb: Disturb) -> None:
    net = Supernet(TINY).eval()
    disturb(net, 1)
    arch = TINY.sample(np.random.default_rng(1))
    x = images(2, 96).to(memory_format=memory_format)
    with torch.no_grad():
        pairs = zip(net(x, arch), extract(net, arch)(x), strict=True)
        assert all(torch.equal(want, have) for want, have in pairs)


def test_equals_in_training_mode_too(disturb: Disturb) -> None:
    net = Supernet(TINY).train()
    disturb(net, 2)
    arch = TINY.middle()
    sub = extract(net, arch)
    assert sub.training
    outputs, expected = sub(images(2, 96)), net(images(2, 96), arch)
    assert all(torch.equal(have, want) for have, want in zip(outputs, expected, strict=True))
    sum(output.sum() for output in outputs).backward()
    sum(output.sum() for output in expected).backward()
    name = "stages.0.0.expand.conv.weight"
    elastic, static = (dict(n.named_parameters())[name].grad for n in (net, sub))
    assert elastic is not None
    assert static is not None
    torch.testing.assert_close(elastic[: static.shape[0], : static.shape[1]], static)


def test_plain_layers_only() -> None:
    net = Supernet(TINY, num_joints=17)
    arch = TINY.largest()
    sub = extract(net, arch)
    leaves = [module for module in sub.modules() if not list(module.children())]
    assert all(isinstance(leaf, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d) for leaf in leaves)
    assert sum(parameter.numel() for parameter in sub.parameters()) == count_params(arch, 17)
    assert not any("transforms" in name for name in sub.state_dict())
    assert (sub.arch, sub.num_joints, sub.fused) == (arch, 17, False)


def test_owns_its_weights() -> None:
    net = Supernet(TINY).eval()
    sub = extract(net, TINY.largest())
    before = {name: tensor.clone() for name, tensor in sub.state_dict().items()}
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.fill_(7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in sub.state_dict().items())


def test_keeps_double_precision(disturb: Disturb) -> None:
    net = Supernet(TINY).double().eval()
    disturb(net, 3)
    x = images(1, 64).double()
    with torch.no_grad():
        assert torch.equal(extract(net, TINY.middle())(x)[0], net(x, TINY.middle())[0])


def test_foreign_architectures_are_refused() -> None:
    with pytest.raises(InputError, match="not in space 'tiny'"):
        extract(Supernet(TINY), Arch.load("litepose-xs"))
