"""The static network: shapes, seeds, tracing."""

from __future__ import annotations

import copy

import pytest
import torch

from subnets import build
from supernet import Arch, InputError, SearchSpace
from supernet.cost import count_params

SMALL = SearchSpace.load("tiny").smallest()


@pytest.mark.parametrize("num_joints", [1, 14, 17])
def test_output_shapes(num_joints: int) -> None:
    with torch.no_grad():
        quarter, half = build(SMALL, num_joints).eval()(torch.zeros(2, 3, 64, 112))
    assert quarter.shape == (2, 2 * num_joints, 16, 28)
    assert half.shape == (2, num_joints, 32, 56)


def test_released_parameter_counts() -> None:
    for name in ("litepose-xs", "litepose-prune-m"):
        arch = Arch.load(name)
        net = build(arch)
        assert sum(parameter.numel() for parameter in net.parameters()) == count_params(arch)


def test_seed_decides_the_weights() -> None:
    first, again, other = (build(SMALL, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["stem.conv.conv.weight"], other["stem.conv.conv.weight"])


def test_a_number_of_joints_says_nothing_of_their_names() -> None:
    assert [build(SMALL, joints).skeleton for joints in (14, 17, 5)] == [None] * 3


def test_a_copy_is_independent() -> None:
    net = build(SMALL).eval()
    twin = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
        assert not twin(torch.ones(1, 3, 32, 32))[0].any()
        assert net(torch.ones(1, 3, 32, 32))[0].any()


def test_wrong_joint_counts() -> None:
    for wrong in (0, -1, True, 14.0):
        with pytest.raises(InputError, match="num_joints"):
            build(SMALL, wrong)


def test_traces_to_plain_layers_with_free_shapes() -> None:
    """What every exporter starts from; `subnets.export` tests the ONNX files made of it."""
    net = build(SMALL, seed=4).eval()
    free = {0: torch.export.Dim("batch", max=64)}
    free |= {axis: 16 * torch.export.Dim(name, min=2, max=64) for axis, name in ((2, "rows"), (3, "columns"))}
    program = torch.export.export(net, (torch.zeros(2, 3, 64, 96),), dynamic_shapes=(free,))
    kinds = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert kinds == {f"aten.{name}.default" for name in ("conv2d", "batch_norm", "relu6", "relu")} | {
        "aten.conv_transpose2d.input",
        "aten.add.Tensor",
    }
    x = torch.randn(3, 3, 96, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for want, have in zip(net(x), program.module()(x), strict=True):
            assert torch.equal(want, have)
