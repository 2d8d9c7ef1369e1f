"""The operators as torch sees them: their registrations, their plain references, and compilation."""

import pytest
import torch
from torch.nn import functional as F

from supernet.native import functional
from supernet.native.functional import CLAMPS, batch_norm_act, depthwise_conv2d, reference_norm_act
from supernet.native.library import library

needs_library = pytest.mark.skipif(library() is None, reason="no C++ compiler here")


def maps(channels=6, side=9, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, channels, side, side, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    weight = torch.randn(channels, 1, 5, 5, generator=generator)
    scale, shift = torch.rand(2, channels, generator=generator).add(0.5)
    return x.requires_grad_(), weight.requires_grad_(), scale.requires_grad_(), shift.requires_grad_()


@needs_library
@pytest.mark.parametrize("stride", [1, 2])
def test_torch_finds_the_convolution_well_registered(stride):
    x, weight, *_ = maps()
    checks = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(torch.ops.litepose.depthwise_conv2d, (x, weight, stride, 2), test_utils=checks)


@needs_library
@pytest.mark.parametrize("high", CLAMPS.values())
def test_torch_finds_the_norm_well_registered(high):
    x, _, scale, shift = maps()
    checks = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")
    torch.library.opcheck(torch.ops.litepose.batch_norm_act, (x, scale, shift, 1e-5, high), test_utils=checks)


@pytest.mark.parametrize("high", CLAMPS.values())
def test_the_norm_is_its_reference(high):
    x, _, scale, shift = maps()
    found = torch.ops.litepose.batch_norm_act(x, scale, shift, 1e-5, high)
    for ours, plain in zip(found, reference_norm_act(x, scale, shift, 1e-5, high), strict=True):
        torch.testing.assert_close(ours, plain)


def test_without_the_kernels_the_operators_are_torch_s(monkeypatch):
    monkeypatch.setattr(functional, "library", lambda: None)
    x, weight, scale, shift = maps()

    def run(convolve, norm):
        y = norm(convolve(x, weight), scale, shift)
        return [y, *torch.autograd.grad(y.square().sum(), (x, weight, scale, shift))]

    ops = torch.ops.litepose
    ours = run(lambda a, b: ops.depthwise_conv2d(a, b, 1, 2), lambda *a: ops.batch_norm_act(*a, 1e-5, 6.0)[0])
    plain = run(
        lambda a, b: F.conv2d(a, b, padding=2, groups=6), lambda *a: reference_norm_act(*a, 1e-5, 6.0)[0]
    )
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@needs_library
def test_compilation_sees_them_without_a_break():
    x, weight, scale, shift = maps()

    def block(x, weight, scale, shift):
        y = depthwise_conv2d(x, weight, 1, 2)
        return batch_norm_act(y, None, None, scale, shift, True, 0.0, 1e-5, "relu6")

    operators = []

    def backend(graph, _):
        operators.extend(str(node.target) for node in graph.graph.nodes if "litepose" in str(node.target))
        return graph.forward

    def run(function):
        y = function(x, weight, scale, shift)
        return [y, *torch.autograd.grad(y.square().sum(), (x, weight, scale, shift))]

    expected = run(block)
    compiled = torch.compile(block, fullgraph=True, backend=backend, dynamic=False)
    assert all(torch.equal(a, b) for a, b in zip(run(compiled), expected, strict=True))
    assert operators == ["litepose.depthwise_conv2d.default", "litepose.batch_norm_act.default"]
    torch._dynamo.reset()
    whole = torch.compile(block, fullgraph=True, backend="aot_eager", dynamic=False)
    assert all(torch.equal(a, b) for a, b in zip(run(whole), expected, strict=True))
