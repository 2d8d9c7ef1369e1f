"""Elastic convolution: the first input and output channels of one shared weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional as F

from ..topology import Layer


class ElasticConv2d(nn.Module):
    """Dense convolution without bias whose active weight is a corner of the largest one.

    Args:
        largest: the layer at its largest size.
    """

    def __init__(self, largest: Layer) -> None:
        super().__init__()
        shape = (largest.out_channels, largest.in_channels, largest.kernel, largest.kernel)
        self.weight = nn.Parameter(torch.empty(shape))

    def active_weight(self, layer: Layer) -> Tensor:
        """(out, in, k, k) weight of `layer`."""
        # Contiguous, so that the kernel that runs is the one that a plain layer of this size would use.
        return self.weight[: layer.out_channels, : layer.in_channels].contiguous()

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        """(B, in, H, W) to (B, out, H / stride, W / stride)."""
        return F.conv2d(x, self.active_weight(layer), stride=layer.stride, padding=layer.padding)
