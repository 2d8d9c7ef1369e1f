"""Every formulation of the depthwise gradients against float64, and where `F.conv2d` must be left alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from supernet.native import functional
from supernet.native.functional import choose, depthwise_conv2d, weight_grad
from supernet.native.library import library

FORMULATIONS = [
    "convolution",
    pytest.param("native", marks=pytest.mark.skipif(library() is None, reason="no C++ compiler here")),
]
# Rounding of a float32 sum, relative to the sum of magnitudes; torch's own gradients need as much.
TOLERANCE = 3e-6


def make(seed, batch, channels, height, width, kernel, stride, padding):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, height, width, generator=generator)
    weight = torch.randn(channels, 1, kernel, kernel, generator=generator)
    out = F.conv2d(x, weight, stride=stride, padding=padding, groups=channels)
    grad = torch.randn(out.shape, generator=generator)
    return x, weight, grad


def reference_grads(x, weight, grad, stride, padding):
    x, weight = x.double().requires_grad_(), weight.double().requires_grad_()
    out = F.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])
    return torch.autograd.grad(out, (x, weight), grad.double())


def check(got, x, weight, grad, stride, padding):
    """Gradients within rounding of those in float64."""
    expected = reference_grads(x, weight, grad, stride, padding)
    magnitude = reference_grads(x.abs(), weight.abs(), grad.abs(), stride, padding)
    for a, b, scale in zip(got, expected, magnitude, strict=True):
        assert a.dtype == torch.float32
        assert a.shape == b.shape
        assert bool(((a - b).abs() <= TOLERANCE * scale + 1e-12).all())


def grads_of(x, weight, grad, stride, padding):
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    out = depthwise_conv2d(x, weight, stride, padding)
    return torch.autograd.grad(out, (x, weight), grad)


@pytest.fixture(params=FORMULATIONS)
def formulation(request, monkeypatch):
    monkeypatch.setattr(functional, "choose", lambda kernel, stride: request.param)
    return request.param


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
@pytest.mark.parametrize("shape", [(2, 24, 20, 34), (1, 5, 9, 8), (3, 16, 16, 16), (2, 40, 8, 8)])
def test_gradients_equal_float64(formulation, shape, kernel, stride):
    x, weight, grad = make(0, *shape, kernel, stride, kernel // 2)
    for layout in (torch.channels_last, torch.contiguous_format):
        x, grad = x.contiguous(memory_format=layout), grad.contiguous(memory_format=layout)
        check(grads_of(x, weight, grad, stride, kernel // 2), x, weight, grad, stride, kernel // 2)


@pytest.mark.parametrize("name", FORMULATIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_weight_gradient_of_any_shape(name, data):
    kernel, stride = data.draw(st.sampled_from([3, 5, 7, 9])), data.draw(st.sampled_from([1, 2]))
    padding = data.draw(st.integers(0, kernel - 1))
    smallest = max(1, kernel - 2 * padding)
    height, width = (data.draw(st.integers(smallest, smallest + 40)) for _ in range(2))
    batch, channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40))
    x, weight, grad = make(7, batch, channels, height, width, kernel, stride, padding)
    got = weight_grad(x, grad, kernel, stride, padding, name)
    expected = reference_grads(x, weight, grad, stride, padding)[1]
    magnitude = reference_grads(x.abs(), weight, grad.abs(), stride, padding)[1]
    assert bool(((got - expected).abs() <= TOLERANCE * magnitude + 1e-12).all())


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_input_gradient_of_any_shape(data):
    kernel = data.draw(st.sampled_from([5, 7, 9]))
    padding = data.draw(st.integers(0, kernel - 1))
    smallest = max(1, kernel - 2 * padding)
    height, width = (data.draw(st.integers(smallest, smallest + 40)) for _ in range(2))
    batch, channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 40))
    x, weight, grad = make(8, batch, channels, height, width, kernel, 1, padding)
    check(grads_of(x, weight, grad, 1, padding), x, weight, grad, 1, padding)


def test_large_maps_are_split(formulation):
    x, weight, grad = make(1, 1, 3, 130, 150, 5, 1, 2)
    check(grads_of(x, weight, grad, 1, 2), x, weight, grad, 1, 2)


def test_noncontiguous_inputs(formulation):
    x, weight, grad = make(2, 2, 12, 12, 12, 5, 1, 2)
    x = x.repeat(1, 2, 1, 1)[:, ::2].contiguous().transpose(2, 3)
    grad = torch.ones(1).expand(grad.shape)  # what sum() hands back
    weight = weight.transpose(2, 3)
    check(grads_of(x, weight, grad, 1, 2), x, weight, grad, 1, 2)


def test_results_do_not_depend_on_the_number_of_threads():
    if library() is None:
        pytest.skip("no C++ compiler here")
    x, _, grad = make(3, 2, 40, 33, 35, 7, 1, 3)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(weight_grad(x, grad, 7, 1, 3, "native"))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_forward_is_the_library_s():
    x, weight, _ = make(4, 2, 16, 16, 16, 7, 1, 3)
    weight.requires_grad_()
    assert torch.equal(depthwise_conv2d(x, weight, 1, 3), F.conv2d(x, weight, padding=3, groups=16))


def test_only_the_wanted_gradients(formulation):
    x, weight, grad = make(5, 2, 16, 12, 12, 7, 1, 3)
    weight.requires_grad_()
    depthwise_conv2d(x, weight, 1, 3).backward(grad)
    assert x.grad is None
    expected = reference_grads(x, weight.detach(), grad, 1, 3)[1]
    torch.testing.assert_close(weight.grad.double(), expected, rtol=1e-4, atol=1e-4)


def test_second_derivatives_are_those_of_the_library(formulation):
    x, weight, grad = make(6, 1, 4, 9, 9, 5, 1, 2)

    def penalty(convolve):
        a, b = x.clone().requires_grad_(), weight.clone().requires_grad_()
        first = torch.autograd.grad(convolve(a, b), (a, b), grad, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), (a, b))

    got = penalty(lambda a, b: depthwise_conv2d(a, b, 1, 2))
    expected = penalty(lambda a, b: F.conv2d(a, b, padding=2, groups=4))
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b)


def plain(x, weight):
    return depthwise_conv2d(x, weight, 1, 3).grad_fn


@pytest.mark.parametrize("case", ["double", "small kernel", "autocast", "frozen", "no grad"])
def test_other_cases_are_left_to_the_library(case):
    kernel = 3 if case == "small kernel" else 7
    x, weight, _ = make(9, 1, 4, 8, 8, kernel, 1, 3)
    weight.requires_grad_(case != "frozen")
    x.requires_grad_()
    if case == "double":
        x, weight = x.double(), weight.double()
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast")
    with autocast, torch.set_grad_enabled(case != "no grad"):
        node = plain(x, weight)
    assert "depthwise" not in type(node).__name__


def test_export_records_a_plain_convolution():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.randn(4, 1, 7, 7))

        def forward(self, x):
            return depthwise_conv2d(x, self.weight, 1, 3)

    x = torch.randn(1, 4, 8, 8)
    exported = torch.export.export(Layer(), (x,))
    assert any("conv2d" in str(node.target) for node in exported.graph.nodes)
    traced = torch.jit.trace(Layer(), x)
    assert "conv" in str(traced.inlined_graph)
    assert "PythonOp" not in str(traced.inlined_graph)


def test_choice_by_kernel():
    assert choose(3, 1) == "torch"
    assert choose(7, 1) == ("native" if library() is not None else "convolution")
    assert choose(11, 1) == "convolution"
    assert choose(7, 3) == "convolution"


def test_stride_three_and_kernel_eleven():
    for kernel, stride in ((11, 1), (7, 3)):
        x, weight, grad = make(10, 2, 6, 25, 26, kernel, stride, kernel // 2)
        check(grads_of(x, weight, grad, stride, kernel // 2), x, weight, grad, stride, kernel // 2)
