"""Depthwise convolution whose gradients are fast to train with on CPU.

torch's weight gradient of a depthwise convolution takes ten times as long as its forward pass, and it
dominates the training of networks with large kernels. The same sums can be had in two other ways:

* `convolution`: with s the stride and p the padding,

      dW[c, i, j] = sum over b, y, x of X[b, c, s*y + i - p, s*x + j - p] * G[b, c, y, x]

  is itself a depthwise convolution, of the input with the output's gradient as a kernel as large as the map,
  dilated by the stride. torch's forward pass is fast for it.
* `native`: the C++ kernel of `supernet.native`, where a compiler is at hand.

`experiments/benchmarks/depthwise_grad` holds the measurements that `choose` goes by.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..native import kernels as native
from ..native.library import library

Formulation = Literal["torch", "convolution", "native"]

# A kernel made of more pixels than this no longer fits the caches.
PIXELS_AT_ONCE = 4096


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Depthwise convolution: `F.conv2d` with `groups=C`, its gradients equal up to rounding and faster.

    Differentiable as often as that is. Faster only for float32 tensors on the CPU outside of autocast,
    compilation and tracing, and for square kernels of 5 and more.

    Args:
        x: (B, C, H, W); channels_last is the fast layout.
        weight: (C, 1, k, k).
        stride: step of the kernel, the same on both axes.
        padding: zeros around the map, the same on all sides.

    Returns:
        (B, C, (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1).
    """
    if not is_plain_training(x, weight):
        return _forward(x, weight, stride, padding)
    kernel, width = weight.shape[2:]
    # With less padding than kernel, every output sees the map.
    if kernel != width or padding >= kernel or choose(kernel, stride) == "torch":
        return _forward(x, weight, stride, padding)
    return cast(Tensor, _DepthwiseConv2d.apply(x, weight, stride, padding))  # type: ignore[no-untyped-call]


def choose(kernel: int, stride: int) -> Formulation:
    """The fastest formulation of the weight gradient for a kernel size and a stride."""
    if kernel < 5:
        return "torch"
    if kernel in native.KERNELS and stride in native.STRIDES and library() is not None:
        return "native"
    return "convolution"


def weight_grad(
    x: Tensor, grad: Tensor, kernel: int, stride: int, padding: int, formulation: Formulation
) -> Tensor:
    """Weight gradient (C, 1, k, k), given the input x (B, C, H, W) and the output's gradient (B, C, OH, OW).

    Raises:
        RuntimeError: `formulation` is `native` and there are no compiled kernels.
    """
    if formulation == "torch":
        weight = x.new_empty(x.shape[1], 1, kernel, kernel)
        return _torch_grads(x, weight, grad, stride, padding, (False, True))[1]
    x, grad = (
        x.contiguous(memory_format=torch.channels_last),
        grad.contiguous(memory_format=torch.channels_last),
    )
    if formulation == "convolution":
        return _weight_grad_by_convolution(x, grad, kernel, stride, padding)
    compiled = library()
    if compiled is None:
        raise RuntimeError("the C++ kernels are not available here")
    return native.weight_grad(compiled, x, grad, kernel, stride, padding)


def _weight_grad_by_convolution(x: Tensor, grad: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    channels, height = x.shape[1], x.shape[2]
    out_height, out_width = grad.shape[2:]
    # The kernel of a convolution is wanted channel by channel.
    grad = grad.contiguous()
    rows = max(1, PIXELS_AT_ONCE // out_width)
    total = x.new_zeros(1, channels, kernel, kernel)
    for image, image_grad in zip(torch.split(x, 1), grad, strict=True):
        for first in range(0, out_height, rows):
            last = min(first + rows, out_height)
            # Input rows [top, bottom) lie under these output rows; those off the map are zeros.
            top, bottom = first * stride - padding, (last - 1) * stride - padding + kernel
            inside = image[:, :, max(top, 0) : min(bottom, height)]
            above, below = max(-top, 0), max(bottom - height, 0)
            pad = max(above, below)
            part = F.conv2d(
                inside,
                image_grad[:, None, first:last],
                padding=(pad, padding),
                dilation=stride,
                groups=channels,
            )
            total += part[:, :, pad - above : pad - above + kernel, :kernel]
    return total.transpose(0, 1)


def _forward(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])


def is_plain_training(x: Tensor, weight: Tensor) -> bool:
    """Whether gradients are wanted, in float32 on the CPU, and nothing records or rewrites the operations."""
    return (
        not torch.compiler.is_compiling()
        and not torch._C._is_tracing()
        and torch.is_grad_enabled()
        and weight.requires_grad
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
    )


def _torch_grads(
    x: Tensor, weight: Tensor, grad: Tensor, stride: int, padding: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    grads: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        None,
        [stride, stride],
        [padding, padding],
        [1, 1],
        False,
        [0, 0],
        weight.shape[0],
        [*wanted, False],
    )
    return grads[:2]


class _DepthwiseConv2d(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        return _forward(x, weight, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
        x, weight, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():
            # Someone will differentiate the gradients: torch's know how.
            grads = _torch_grads(x, weight, grad, ctx.stride, ctx.padding, (wants_x, wants_weight))
            return grads[0] if wants_x else None, grads[1] if wants_weight else None, None, None
        kernel = weight.shape[2]
        formulation = choose(kernel, ctx.stride)
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = grad_weight = None
        if wants_x:
            grad_x = _input_grad(x, weight, grad, ctx.stride, ctx.padding, formulation)
        if wants_weight:
            grad_weight = weight_grad(x, grad, kernel, ctx.stride, ctx.padding, formulation)
        return grad_x, grad_weight, None, None


def _input_grad(
    x: Tensor, weight: Tensor, grad: Tensor, stride: int, padding: int, formulation: Formulation
) -> Tensor:
    compiled = library()
    if formulation == "native" and compiled is not None and stride == 1:
        return native.input_grad(compiled, grad, weight.contiguous(), x.shape, padding)
    return _torch_grads(x, weight, grad, stride, padding, (True, False))[0]
