"""Batch norm and the activation after it in one step: fewer passes over memory, one tensor less to keep."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..family import Activation
from ..native import kernels as native
from ..native.kernels import Clamp
from ..native.library import library
from .depthwise_grad import is_plain_training

CLAMPS: dict[Activation | None, Clamp] = {
    None: Clamp(False),
    "relu": Clamp(True),
    "relu6": Clamp(True, 6.0),
}


def activate(x: Tensor, activation: Activation | None, inplace: bool = False) -> Tensor:
    """`x` after ReLU6, ReLU or nothing."""
    if activation == "relu6":
        return F.relu6(x, inplace=inplace)
    if activation == "relu":
        return F.relu(x, inplace=inplace)
    return x


def batch_norm_act(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    training: bool,
    momentum: float,
    eps: float,
    activation: Activation | None,
) -> Tensor:
    """`F.batch_norm` and then ReLU6, ReLU or nothing; equal up to rounding.

    Training in float32 on the CPU with channels_last maps and a compiler at hand runs in C++: the normalised
    map is never stored apart from the activated one, statistics are summed in double precision, and results
    do not depend on the number of threads. Elsewhere, training overwrites the normalised map.

    Args:
        x: (B, C, H, W).
        running_mean: (C,), updated in training if given; needed in evaluation.
        running_var: as `running_mean`; the unbiased variance goes in.
        weight: (C,).
        bias: (C,).
        training: normalise by the batch's statistics rather than by the running ones.
        momentum: share of the batch in the running statistics.
        eps: added to the variance.
        activation: `relu6`, `relu` or None.
    """
    if training and _suits(x, weight, bias):
        y, mean, variance = _BatchNormAct.apply(x, weight, bias, eps, CLAMPS[activation])  # type: ignore[no-untyped-call]
        if running_mean is not None and running_var is not None:
            count = x.numel() // x.shape[1]
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
        return cast(Tensor, y)
    y = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    # Batch norm keeps its input for the backward pass, not its output.
    return activate(y, activation, inplace=training)


def _suits(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    return (
        is_plain_training(x, weight)
        and bias.dtype == torch.float32
        and x.numel() > x.shape[1]
        and x.is_contiguous(memory_format=torch.channels_last)
        and library() is not None
    )


class _BatchNormAct(torch.autograd.Function):
    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor, eps: float, clamp: Clamp
    ) -> tuple[Tensor, Tensor, Tensor]:
        compiled = _compiled()
        mean, variance = native.norm_statistics(compiled, x)
        scale, shift = _scale_and_shift(mean, variance, weight, bias, eps)
        return native.norm_apply(compiled, x, scale, shift, clamp), mean, variance

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        x, weight, bias, ctx.eps, ctx.clamp = inputs
        _, mean, variance = output
        ctx.mark_non_differentiable(mean, variance)
        ctx.save_for_backward(x, weight, bias, mean, variance)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, variance = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_differentiable_grads(x, weight, bias, grad, ctx.eps, ctx.clamp), None, None
        scale, shift = _scale_and_shift(mean, variance, weight, bias, ctx.eps)
        grad = grad.contiguous(memory_format=torch.channels_last)
        invstd = (variance + ctx.eps).rsqrt()
        grads = native.norm_backward(_compiled(), x, grad, mean, invstd, scale, shift, ctx.clamp)
        return *grads, None, None


def _compiled() -> Any:
    compiled = library()
    assert compiled is not None
    return compiled


def _scale_and_shift(
    mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    scale = weight * (variance + eps).rsqrt()
    return scale, bias - mean * scale


def _differentiable_grads(
    x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor, eps: float, clamp: Clamp
) -> tuple[Tensor, ...]:
    """The same gradients by torch's operations, for those who differentiate them again."""
    y = F.batch_norm(x, None, None, weight, bias, True, 0.0, eps)
    if clamp.on:
        y = y.clamp(0, clamp.high)
    inputs = tuple(tensor for tensor in (x, weight, bias) if tensor.requires_grad)
    found = iter(torch.autograd.grad(y, inputs, grad, create_graph=True))
    return tuple(next(found) if tensor.requires_grad else None for tensor in (x, weight, bias))  # type: ignore[misc]
