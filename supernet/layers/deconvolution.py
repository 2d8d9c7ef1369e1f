"""Elastic transposed convolution: the first input and output channels of one shared weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional as F

from ..topology import Layer


class ElasticConvTranspose2d(nn.Module):
    """Transposed convolution without bias whose active weight is a corner of the largest one.

    Args:
        largest: the layer at its largest size.
    """

    def __init__(self, largest: Layer) -> None:
        super().__init__()
        shape = (largest.in_channels, largest.out_channels, largest.kernel, largest.kernel)
        self.weight = nn.Parameter(torch.empty(shape))

    def active_weight(self, layer: Layer) -> Tensor:
        """(in, out, k, k) weight of `layer`."""
        return self.weight[: layer.in_channels, : layer.out_channels].contiguous()

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        """(B, in, H, W) to (B, out, stride * H, stride * W)."""
        return F.conv_transpose2d(x, self.active_weight(layer), stride=layer.stride, padding=layer.padding)
