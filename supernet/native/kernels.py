"""The C++ kernels as functions of tensors: float32, CPU, channels last, checked by the caller."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

KERNELS = (3, 5, 7, 9)
STRIDES = (1, 2)


def weight_grad(
    library: ctypes.CDLL, x: Tensor, grad: Tensor, kernel: int, stride: int, padding: int
) -> Tensor:
    """Weight gradient (C, 1, k, k) of a depthwise convolution of x (B, C, H, W), output gradient `grad`."""
    out = x.new_empty(x.shape[1], 1, kernel, kernel)
    status = library.depthwise_weight_grad(
        *_pointers(x, grad, out),
        *_sizes(*x.shape, *grad.shape[2:]),
        ctypes.c_int(kernel),
        ctypes.c_int(stride),
        ctypes.c_int64(padding),
        _threads(),
    )
    assert status == 0
    return out


def input_grad(
    library: ctypes.CDLL, grad: Tensor, weight: Tensor, x_shape: torch.Size, padding: int
) -> Tensor:
    """Input gradient (B, C, H, W) of a depthwise convolution of stride 1 with output gradient `grad`."""
    out = torch.empty(x_shape, dtype=grad.dtype, memory_format=torch.channels_last)
    status = library.depthwise_input_grad(
        *_pointers(grad, weight, out),
        *_sizes(*x_shape, *grad.shape[2:]),
        ctypes.c_int(weight.shape[2]),
        ctypes.c_int64(padding),
        _threads(),
    )
    assert status == 0
    return out


@dataclass(frozen=True)
class Clamp:
    """What follows a batch norm: nothing (`on` is False), or a clamp to [0, high]."""

    on: bool
    high: float = float("inf")

    def arguments(self) -> tuple[ctypes.c_int, ctypes.c_float]:
        return ctypes.c_int(self.on), ctypes.c_float(self.high)


def norm_statistics(library: ctypes.CDLL, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) of x (B, C, H, W) over batch and space."""
    mean, variance = x.new_empty(x.shape[1]), x.new_empty(x.shape[1])
    library.norm_statistics(*_pointers(x), *_sizes(*_matrix(x)), *_pointers(mean, variance), _threads())
    return mean, variance


def norm_apply(library: ctypes.CDLL, x: Tensor, scale: Tensor, shift: Tensor, clamp: Clamp) -> Tensor:
    """`clamp(x * scale + shift)` per channel, x (B, C, H, W)."""
    out = torch.empty_like(x)
    library.norm_apply(
        *_pointers(x, out),
        *_sizes(*_matrix(x)),
        *_pointers(scale, shift),
        *clamp.arguments(),
        _threads(),
    )
    return out


def norm_backward(
    library: ctypes.CDLL,
    x: Tensor,
    grad: Tensor,
    mean: Tensor,
    invstd: Tensor,
    scale: Tensor,
    shift: Tensor,
    clamp: Clamp,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (B, C, H, W), of the weight and of the bias (C,) of a batch norm in training."""
    grad_x = torch.empty_like(x)
    grad_weight, grad_bias = torch.empty_like(mean), torch.empty_like(mean)
    library.norm_backward(
        *_pointers(x, grad, grad_x),
        *_sizes(*_matrix(x)),
        *_pointers(mean, invstd, scale, shift),
        *clamp.arguments(),
        *_pointers(grad_weight, grad_bias),
        _threads(),
    )
    return grad_x, grad_weight, grad_bias


def _matrix(x: Tensor) -> tuple[int, int]:
    channels = x.shape[1]
    return x.numel() // channels, channels


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]


def _sizes(*values: int) -> list[ctypes.c_int64]:
    return [ctypes.c_int64(value) for value in values]


def _threads() -> ctypes.c_int:
    return ctypes.c_int(torch.get_num_threads())
