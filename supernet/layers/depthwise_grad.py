"""Depthwise convolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def depthwise_conv2d(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Depthwise convolution of x (B, C, H, W) with weight (C, 1, k, k)."""
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=weight.shape[0])
