"""Batch norms folded away: the same function, no norm left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from subnets import build, load, save
from subnets.network import fuse, norm_sources
from supernet import Arch, InputError, SearchSpace

ARCH = SearchSpace.load("tiny").largest()


def images(side: int) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_equals_the_network_to_rounding(disturb: Callable[[Any, int], None]) -> None:
    net = build(ARCH).double().eval()
    disturb(net, 0)
    fused = fuse(net)
    with torch.no_grad():
        for want, have in zip(net(images(96).double()), fused(images(96).double()), strict=True):
            assert (want - have).abs().max() <= 1e-12 * want.abs().max()


def test_no_norm_is_left_and_every_norm_became_one_bias() -> None:
    net = build(ARCH)
    fused = fuse(net)
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fused.modules())
    biases = [name for name, _ in fused.named_parameters() if name.endswith("bias")]
    assert len(biases) == len(norms)
    assert "head.0.refined.conv.bias" in biases
    assert "head.0.raw.conv.bias" not in biases
    assert "head.1.output_raw.project.conv.bias" not in biases
    assert fused.fused
    assert not fused.training


def test_sources_of_the_norms() -> None:
    sources = norm_sources(ARCH, 14)
    assert sources["stem.conv"] == ("stem.conv",)
    assert sources["head.1.norm"] == ("head.1.refined", "head.1.raw")
    assert "head.1.output_raw.project" not in sources


def test_the_original_stays_as_it_was() -> None:
    net = build(ARCH)
    net.about = {"source": "test"}
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fused = fuse(net)
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert net.training
    assert fused.about == {"source": "test"}
    with pytest.raises(InputError, match="fused already"):
        fuse(fused)


def test_a_fused_folder(tmp_path: Path, disturb: Callable[[Any, int], None]) -> None:
    net = build(Arch.load("litepose-xs"), 17).eval()
    disturb(net, 1)
    fused = fuse(net)
    save(fused, tmp_path / "fused")
    again = load(tmp_path / "fused")
    assert again.fused
    with torch.no_grad():
        assert torch.equal(again(images(64))[1], fused(images(64))[1])
