"""The supernet: what a subnet uses of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from supernet import Arch, InputError, SearchSpace, Stage, Supernet
from supernet.family import layers

TINY = SearchSpace.load("tiny")


def images(side: int = 64, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("num_joints", [14, 17])
def test_output_shapes(num_joints: int) -> None:
    net = Supernet(TINY, num_joints).eval()
    x = torch.zeros(2, 3, 96, 160)
    for arch in (TINY.smallest(), TINY.largest(), TINY.sample(np.random.default_rng(0))):
        with torch.no_grad():
            quarter, half = net(x, arch)
        assert quarter.shape == (2, 2 * num_joints, 24, 40)
        assert half.shape == (2, num_joints, 48, 80)


def test_parameters_are_those_of_the_largest_plus_transforms() -> None:
    net = Supernet(TINY)
    expected = sum(
        layer.out_channels * layer.in_channels // layer.groups * layer.kernel**2 * (layer.kind != "norm")
        + 2 * layer.out_channels * layer.norm
        for layer in layers(TINY.largest(), 14)
    )
    transforms = [p for name, p in net.named_parameters() if "transforms" in name]
    assert len(transforms) == 2 * sum(stage.depth[-1] for stage in TINY.stages)
    assert {p.shape for p in transforms} == {(9, 9), (25, 25)}
    assert sum(p.numel() for p in net.parameters()) == expected + sum(p.numel() for p in transforms)


def test_names_read_like_the_network() -> None:
    names = set(Supernet(TINY).state_dict())
    assert {
        "stem.conv.conv.weight",
        "stages.0.1.depthwise.conv.weight",
        "stages.0.1.depthwise.conv.transforms.5",
        "stages.3.2.project.norm.running_var",
        "head.0.refined.conv.weight",
        "head.2.output_raw.project.conv.weight",
    } <= names


def test_seed_decides_the_weights() -> None:
    first, again, other = (Supernet(TINY, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.conv.conv.weight"], other["stem.conv.conv.weight"])


def gradients(net: Supernet, arch: Arch) -> dict[str, torch.Tensor | None]:
    net.zero_grad(set_to_none=True)
    sum(output.square().sum() for output in net.train()(images(64, 2), arch)).backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


def test_depth_keeps_the_first_blocks_and_width_the_first_channels() -> None:
    net = Supernet(TINY)
    stages = (Stage(8, (5,), (4,)), Stage(16, (3, 3), (4, 4)), Stage(36, (7,), (4,)), Stage(40, (3,), (4,)))
    grads = gradients(net, Arch(96, 8, stages, (16, 16, 16)))
    assert grads["stages.0.1.expand.conv.weight"] is None
    assert grads["stages.1.2.expand.conv.weight"] is None
    assert grads["stages.1.1.expand.conv.weight"] is not None
    grad = grads["stages.2.0.project.conv.weight"]
    assert grad is not None
    assert grad[:36, :64].abs().sum() > 0
    assert not grad[36:].any()
    assert not grad[:, 64:].any()
    # A kernel of 5 uses one transform, of 7 none, of 3 both.
    used = {name for name, grad in grads.items() if "transforms" in name and grad is not None}
    assert used == {
        "stages.0.0.depthwise.conv.transforms.5",
        *(f"stages.1.{j}.depthwise.conv.transforms.{k}" for j in (0, 1) for k in (3, 5)),
        *(f"stages.3.0.depthwise.conv.transforms.{k}" for k in (3, 5)),
    }


def test_every_gene_changes_the_output(disturb: Callable[[Any, int], None]) -> None:
    net = Supernet(TINY, seed=1).eval()
    disturb(net, 0)
    base = TINY.encode([TINY.largest()])[0]
    with torch.no_grad():
        reference = net(images(), TINY.largest())
        for column in range(1, len(base)):
            if TINY.num_choices[column] == 1:
                continue
            codes = base.copy()
            codes[column] = 0
            outputs = net(images(), TINY.decode(codes[None])[0])
            # Head widths of the last step reach the 1/2 output alone.
            assert not torch.equal(outputs[1], reference[1]), TINY.genes[column].name


def test_foreign_architectures_are_refused() -> None:
    net = Supernet(TINY)
    with pytest.raises(InputError, match="not in space 'tiny': resolution 256"):
        net(images(), Arch.load("litepose-xs"))
    arch = TINY.smallest()
    net.require(arch)
    net.require(arch)
    with pytest.raises(InputError, match="num_joints"):
        Supernet(TINY, num_joints=0)


def test_copies_are_independent() -> None:
    net = Supernet(TINY).eval()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        twin.unit("stem.conv").conv.weight.zero_()  # type: ignore[union-attr]
        assert not torch.equal(twin(images(), TINY.smallest())[0], net(images(), TINY.smallest())[0])
    assert twin.unit("stem.conv") is twin.get_submodule("stem.conv")
