"""Fused batch norm and activation against float64 and against `F.batch_norm`."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from supernet.native import functional
from supernet.native.functional import activate, batch_norm_act
from supernet.native.library import library

ACTIVATIONS = [None, "relu", "relu6"]
needs_library = pytest.mark.skipif(library() is None, reason="no C++ compiler here")


def make(shape, seed=0, offset=0.0, layout=torch.channels_last):
    generator = torch.Generator().manual_seed(seed)
    channels = shape[1]
    spread = 0.5 + 3 * torch.rand(1, channels, 1, 1, generator=generator)
    x = torch.randn(shape, generator=generator) * spread + torch.randn(1, channels, 1, 1, generator=generator)
    grad = torch.randn(shape, generator=generator).contiguous(memory_format=layout)
    weight = torch.rand(channels, generator=generator) + 0.5
    bias = torch.randn(channels, generator=generator) + 1
    return (x + offset).contiguous(memory_format=layout), weight, bias, grad


def run(function, x, weight, bias, grad):
    leaves = [tensor.detach().clone().requires_grad_() for tensor in (x, weight, bias)]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, grad)]


def fused(activation, eps=1e-5):
    return lambda x, w, b: batch_norm_act(x, None, None, w, b, True, 0.0, eps, activation)


def reference(activation, eps=1e-5):
    return lambda x, w, b: activate(F.batch_norm(x, None, None, w, b, True, 0.0, eps), activation)


def check(x, weight, bias, grad, activation, tolerance=2e-6):
    # Where the normalised value lies within rounding of a clamp's edge, either gradient is right.
    normal = reference(None)(x.double(), weight.double(), bias.double())
    clear = ((normal.abs() > 1e-4) & ((normal - 6).abs() > 1e-4)).float() if activation else 1.0
    grad = grad * clear
    got = run(fused(activation), x, weight, bias, grad)
    expected = run(reference(activation), x.double(), weight.double(), bias.double(), grad.double())
    # The gradient of x is a difference of terms of this size.
    terms = float(
        (grad.abs().amax((0, 2, 3)) * weight / x.std((0, 2, 3), correction=0).clamp(min=3e-3)).max()
    )
    for a, b, scale in zip(got, expected, (1.0, terms, 1.0, 1.0), strict=True):
        assert a.dtype == torch.float32
        assert float((a - b).abs().max()) <= tolerance * max(float(b.abs().max()), scale)


def uses_kernel(x, weight, bias):
    y = batch_norm_act(x, None, None, weight, bias, True, 0.0, 1e-5, "relu6")
    return y.grad_fn is not None and "batch_norm_act" in type(y.grad_fn).__name__


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("shape", [(2, 24, 20, 34), (1, 5, 9, 8), (4, 96, 16, 16), (2, 1, 3, 3)])
def test_output_and_gradients_equal_float64(shape, layout, activation):
    tolerance = 2e-6 if library() is not None and layout == torch.channels_last else 2e-5
    check(*make(shape, layout=layout), activation, tolerance)


@needs_library
@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(3, 30),
    st.integers(4, 30),
    st.sampled_from(ACTIVATIONS),
)
def test_any_shape(batch, channels, height, width, activation):
    check(*make((batch, channels, height, width), seed=channels), activation, 5e-6)


@needs_library
def test_statistics_of_a_far_mean():
    """A mean a thousand times the spread costs the digits that the input itself lacks, and no more."""
    x, weight, bias, _ = make((2, 20, 40, 40), offset=3000.0)
    y = fused(None)(x, weight.requires_grad_(), bias)
    expected = reference(None)(x.double(), weight.double(), bias.double())
    assert float((y - expected).detach().abs().max()) < 3e-3
    assert float(y.detach().std()) == pytest.approx(float(expected.detach().std()), rel=1e-4)


@needs_library
def test_constant_channels_and_outliers():
    x, weight, bias, grad = make((2, 17, 24, 24))
    x[:, 3] = 7.5
    x[0, 4, 0, 0] = 1e4
    x[:, 5, :12] = -50.0
    check(x, weight, bias, grad, None, 5e-6)


@needs_library
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_inf_come_through(activation):
    for bad in (float("nan"), float("inf")):
        x, weight, bias, grad = make((1, 20, 8, 8))
        x[0, 2, 3, 3] = bad
        y, grad_x, *_ = run(fused(activation), x, weight, bias, grad)
        assert bool(torch.isnan(y[0, 2]).any())
        assert bool(torch.isnan(grad_x[0, 2]).any())
        assert bool(torch.isfinite(y[0, 3]).all())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_running_statistics(layout):
    x, weight, bias, _ = make((2, 8, 6, 6), layout=layout)
    weight.requires_grad_()
    ours = torch.zeros(8), torch.ones(8)
    theirs = torch.zeros(8), torch.ones(8)
    for _ in range(3):
        batch_norm_act(x, *ours, weight, bias, True, 0.1, 1e-5, "relu6")
        F.batch_norm(x, *theirs, weight, bias, True, 0.1, 1e-5)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_evaluation_is_plain():
    x, weight, bias, _ = make((2, 8, 6, 6))
    mean, variance = torch.randn(8), torch.rand(8) + 0.5
    got = batch_norm_act(x, mean, variance, weight.requires_grad_(), bias, False, 0.1, 1e-5, "relu6")
    assert torch.equal(got, F.relu6(F.batch_norm(x, mean, variance, weight, bias, False, 0.1, 1e-5)))


@needs_library
def test_when_the_kernel_runs():
    x, weight, bias, _ = make((2, 8, 6, 6))
    parameter = weight.clone().requires_grad_()
    assert uses_kernel(x, parameter, bias)
    assert not uses_kernel(x, weight, bias)
    assert not uses_kernel(x.contiguous(), parameter, bias)
    assert not uses_kernel(x.double(), parameter.double(), bias.double())
    with torch.autocast("cpu", torch.bfloat16):
        assert not uses_kernel(x, parameter, bias)
    with torch.no_grad():
        assert not uses_kernel(x, parameter, bias)


@needs_library
def test_results_do_not_depend_on_the_number_of_threads():
    arguments = make((2, 20, 33, 35))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(run(fused("relu6"), *arguments))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_second_derivatives():
    x, weight, bias, grad = make((2, 3, 4, 4), seed=5)

    def penalty(function):
        leaves = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
        first = torch.autograd.grad(function(*leaves), leaves, grad, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves[:2])

    for a, b in zip(penalty(fused("relu6")), penalty(reference("relu6")), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_gradients_with_a_frozen_bias():
    x, weight, bias, grad = make((2, 8, 6, 6))
    x, weight = x.requires_grad_(), weight.requires_grad_()
    y = fused("relu")(x, weight, bias)
    y.backward(grad)
    assert x.grad is not None
    assert weight.grad is not None
    assert bias.grad is None


def test_every_activation_has_a_clamp():
    assert set(functional.CLAMPS) == {None, "relu", "relu6"}
