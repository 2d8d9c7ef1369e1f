"""Depthwise convolution and batch norm that are fast to train with on CPU, as operators of torch.

Torch's weight gradient of a depthwise convolution takes ten times as long as its forward pass, and dominates
the training of networks with large kernels. The same sums can be had in two other ways:

* `convolution`: with s the stride and p the padding,

      dW[c, i, j] = sum over b, y, x of X[b, c, s*y + i - p, s*x + j - p] * G[b, c, y, x]

  is itself a depthwise convolution, of the input with the output's gradient as a kernel as large as the map,
  dilated by the stride. Torch's forward pass is fast for it.
* `native`: a C++ kernel, where a compiler is at hand.

Batch norm and the activation after it run as one C++ kernel: fewer passes over memory, one map less to keep.

The operators are `torch.ops.litepose.*`: autograd and `torch.compile` know them, and without a compiler they
fall back on torch. `experiments/benchmarks/depthwise_grad` holds the measurements that `choose` goes by.
"""

from __future__ import annotations

import ctypes
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from ..layers.description import Activation
from .library import library

Formulation = Literal["torch", "convolution", "native"]

# What the C++ kernel of the weight gradient is made for.
KERNELS = (3, 5, 7, 9)
STRIDES = (1, 2)
# A kernel made of more pixels than this no longer fits the caches.
PIXELS_AT_ONCE = 4096
# Where an activation cuts off; None does not.
CLAMPS: dict[Activation | None, float | None] = {None: None, "relu": float("inf"), "relu6": 6.0}


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Depthwise convolution: `F.conv2d` with `groups=C`, its gradients equal up to rounding and faster.

    Differentiable as often as that is. Faster only for float32 tensors on the CPU outside of autocast and
    tracing, and for square kernels of 5 and more.

    Args:
        x: (B, C, H, W); channels_last is the fast layout.
        weight: (C, 1, k, k).
        stride: step of the kernel, the same on both axes.
        padding: zeros around the map, the same on all sides.

    Returns:
        (B, C, (H + 2 * padding - k) // stride + 1, (W + 2 * padding - k) // stride + 1).
    """
    kernel, width = weight.shape[2:]
    # With less padding than kernel, every output sees the map.
    suits = _is_plain_training(x, weight) and kernel == width and padding < kernel
    if suits and (torch.compiler.is_compiling() or choose(kernel, stride) != "torch"):
        return cast(Tensor, torch.ops.litepose.depthwise_conv2d.default(x, weight, stride, padding))
    return _convolve(x, weight, stride, padding)


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
        operator = torch.ops.litepose.batch_norm_act.default
        y, mean, variance = operator(x, weight, bias, eps, CLAMPS[activation])
        if running_mean is not None and running_var is not None:
            count = x.numel() // x.shape[1]
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1)), momentum)
        return cast(Tensor, y)
    y = F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    # Batch norm keeps its input for the backward pass, not its output.
    return activate(y, activation, inplace=training)


def activate(x: Tensor, activation: Activation | None, inplace: bool = False) -> Tensor:
    """`x` after ReLU6, ReLU or nothing."""
    if activation == "relu6":
        return F.relu6(x, inplace=inplace)
    if activation == "relu":
        return F.relu(x, inplace=inplace)
    return x


def _is_plain_training(x: Tensor, weight: Tensor) -> bool:
    """Whether gradients are wanted, in float32 on the CPU, and nothing records the operations for export."""
    return (
        (torch.compiler.is_compiling() or not torch._C._is_tracing())
        and torch.is_grad_enabled()
        and weight.requires_grad
        and x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_exporting()
    )


def _suits(x: Tensor, weight: Tensor, bias: Tensor) -> bool:
    return (
        _is_plain_training(x, weight)
        and bias.dtype == torch.float32
        and x.numel() > x.shape[1]
        and x.is_contiguous(memory_format=torch.channels_last)
        and (torch.compiler.is_compiling() or library() is not None)
    )


def choose(kernel: int, stride: int) -> Formulation:
    """The fastest formulation of the weight gradient for a kernel size and a stride."""
    if kernel < 5:
        return "torch"
    if kernel in KERNELS and stride in STRIDES and library() is not None:
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
    x, grad = _channels_last(x), _channels_last(grad)
    if formulation == "convolution":
        return _weight_grad_by_convolution(x, grad, kernel, stride, padding)
    out = x.new_empty(x.shape[1], 1, kernel, kernel)
    _call(
        "depthwise_weight_grad",
        *_pointers(x, grad, out),
        *_sizes(*x.shape, *grad.shape[2:]),
        ctypes.c_int(kernel),
        ctypes.c_int(stride),
        ctypes.c_int64(padding),
    )
    return out


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
            pads, kernels = (pad, padding), image_grad[:, None, first:last]
            part = F.conv2d(inside, kernels, padding=pads, dilation=stride, groups=channels)
            total += part[:, :, pad - above : pad - above + kernel, :kernel]
    return total.transpose(0, 1)


def _convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])


def _torch_grads(
    x: Tensor, weight: Tensor, grad: Tensor, stride: int, padding: int, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    strides, pads, channels = [stride, stride], [padding, padding], weight.shape[0]
    backward = torch.ops.aten.convolution_backward
    grads = backward(grad, x, weight, None, strides, pads, [1, 1], False, [0, 0], channels, [*wanted, False])
    return cast(tuple[Tensor, Tensor], grads[:2])


def _depthwise_weight_grad(x: Tensor, grad: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    return weight_grad(x, grad, kernel, stride, padding, choose(kernel, stride))


def _depthwise_input_grad(x: Tensor, weight: Tensor, grad: Tensor, stride: int, padding: int) -> Tensor:
    kernel = weight.shape[2]
    if choose(kernel, stride) != "native" or library() is None or stride != 1:
        return _channels_last(_torch_grads(x, weight, grad, stride, padding, (True, False))[0])
    # By name: a temporary would be gone before its memory is read.
    grad, weight = _channels_last(grad), weight.contiguous()
    out = torch.empty(x.shape, dtype=grad.dtype, memory_format=torch.channels_last)
    _call(
        "depthwise_input_grad",
        *_pointers(grad, weight, out),
        *_sizes(*x.shape, *grad.shape[2:]),
        ctypes.c_int(kernel),
        ctypes.c_int64(padding),
    )
    return out


def _depthwise_setup(ctx: Any, inputs: tuple[Tensor, Tensor, int, int], output: Tensor) -> None:
    x, weight, ctx.stride, ctx.padding = inputs
    ctx.save_for_backward(x, weight)


def _depthwise_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    x, weight = ctx.saved_tensors
    stride, padding, wanted = ctx.stride, ctx.padding, ctx.needs_input_grad[:2]
    grad_x = grad_weight = None
    if torch.is_grad_enabled():
        # Someone will differentiate the gradients: torch's know how.
        grads = _torch_grads(x, weight, grad, stride, padding, wanted)
        return grads[0] if wanted[0] else None, grads[1] if wanted[1] else None, None, None
    grad = _channels_last(grad)
    if wanted[0]:
        grad_x = torch.ops.litepose.depthwise_input_grad.default(x, weight, grad, stride, padding)
    if wanted[1]:
        operator = torch.ops.litepose.depthwise_weight_grad.default
        grad_weight = operator(x, grad, weight.shape[2], stride, padding)
    return grad_x, grad_weight, None, None


def reference_norm_act(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, high: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """What `batch_norm_act` computes in training, by torch: the map, mean and biased variance (C,)."""
    y = F.batch_norm(x, None, None, weight, bias, True, 0.0, eps)
    y = y if high is None else y.clamp(0, high)
    return y, x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)


def _norm_act(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, high: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    if library() is None:
        return reference_norm_act(x, weight, bias, eps, high)
    mean, variance = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    _call("norm_statistics", *_pointers(x), *_sizes(*_matrix(x)), *_pointers(mean, variance))
    scale, shift = _scale_and_shift(mean, variance, weight, bias, eps)
    y = torch.empty_like(x)
    _call("norm_apply", *_pointers(x, y), *_sizes(*_matrix(x)), *_pointers(scale, shift), *_clamp(high))
    return y, mean, variance


def _norm_act_grads(
    x: Tensor,
    grad: Tensor,
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    eps: float,
    high: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    if library() is None:
        with torch.enable_grad():
            leaves = [tensor.detach().requires_grad_() for tensor in (x, weight, bias)]
            y, *_ = reference_norm_act(leaves[0], leaves[1], leaves[2], eps, high)
            return cast(tuple[Tensor, Tensor, Tensor], torch.autograd.grad(y, leaves, grad))
    scale, shift = _scale_and_shift(mean, variance, weight, bias, eps)
    invstd = (variance + eps).rsqrt()
    grad_x = torch.empty_like(x)
    grad_weight, grad_bias = torch.empty_like(mean), torch.empty_like(mean)
    _call(
        "norm_backward",
        *_pointers(x, grad, grad_x),
        *_sizes(*_matrix(x)),
        *_pointers(mean, invstd, scale, shift),
        *_clamp(high),
        *_pointers(grad_weight, grad_bias),
    )
    return grad_x, grad_weight, grad_bias


def _norm_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    x, weight, bias, ctx.eps, ctx.high = inputs
    _, mean, variance = output
    ctx.mark_non_differentiable(mean, variance)
    ctx.save_for_backward(x, weight, bias, mean, variance)


def _norm_backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    x, weight, bias, mean, variance = ctx.saved_tensors
    if torch.is_grad_enabled():
        # As above: differentiable gradients.
        y = reference_norm_act(x, weight, bias, ctx.eps, ctx.high)[0]
        inputs = [tensor for tensor in (x, weight, bias) if tensor.requires_grad]
        found = iter(torch.autograd.grad(y, inputs, grad, create_graph=True))
        return *(next(found) if tensor.requires_grad else None for tensor in (x, weight, bias)), None, None
    operator, grad = torch.ops.litepose.batch_norm_act_grads.default, _channels_last(grad)
    return *operator(x, grad, weight, bias, mean, variance, ctx.eps, ctx.high), None, None


def _scale_and_shift(
    mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    scale = weight * (variance + eps).rsqrt()
    return scale, bias - mean * scale


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _call(name: str, *arguments: Any) -> None:
    """Run a C++ kernel on contiguous float32 tensors (maps channels_last) with torch's number of threads."""
    compiled = library()
    if compiled is None:
        raise RuntimeError("the C++ kernels are not available here")
    status = getattr(compiled, name)(*arguments, ctypes.c_int(torch.get_num_threads()))
    assert status == 0, f"{name} is not made for these sizes"


def _matrix(x: Tensor) -> tuple[int, int]:
    channels = x.shape[1]
    return x.numel() // channels, channels


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _sizes(*values: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(value) for value in values]


def _clamp(high: float | None) -> tuple[ctypes.c_int, ctypes.c_float]:
    return ctypes.c_int(high is not None), ctypes.c_float(0.0 if high is None else high)


def _register() -> None:
    """Define the operators: on the CPU, without data (for compilation), and their gradients."""

    def like(x: Tensor, *_: Any) -> Tensor:
        return torch.empty_like(x, memory_format=torch.channels_last)

    def norm_like(x: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        return torch.empty_like(x), x.new_empty(x.shape[1]), x.new_empty(x.shape[1])

    def kernel_like(x: Tensor, grad: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        return x.new_empty(x.shape[1], 1, kernel, kernel)

    depthwise = "(Tensor x, Tensor weight, int stride, int padding) -> Tensor"
    input_grad = "(Tensor x, Tensor weight, Tensor grad, int stride, int padding) -> Tensor"
    kernel_grad = "(Tensor x, Tensor grad, int kernel, int stride, int padding) -> Tensor"
    norm = "(Tensor x, Tensor weight, Tensor bias, float eps, float? high) -> (Tensor, Tensor, Tensor)"
    norm_grads = (
        "(Tensor x, Tensor grad, Tensor weight, Tensor bias, Tensor mean, Tensor variance, float eps, "
        "float? high) -> (Tensor, Tensor, Tensor)"
    )
    for name, schema, on_cpu, without_data in (
        ("depthwise_conv2d", depthwise, _convolve, _convolve),
        ("depthwise_input_grad", input_grad, _depthwise_input_grad, like),
        ("depthwise_weight_grad", kernel_grad, _depthwise_weight_grad, kernel_like),
        ("batch_norm_act", norm, _norm_act, norm_like),
        ("batch_norm_act_grads", norm_grads, _norm_act_grads, norm_like),
    ):
        torch.library.define(f"litepose::{name}", schema)
        torch.library.impl(f"litepose::{name}", "cpu", on_cpu)
        torch.library.register_fake(f"litepose::{name}", without_data)
    for name, backward, setup in (
        ("depthwise_conv2d", _depthwise_backward, _depthwise_setup),
        ("batch_norm_act", _norm_backward, _norm_setup),
    ):
        torch.library.register_autograd(f"litepose::{name}", backward, setup_context=setup)


_register()
