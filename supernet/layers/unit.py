"""One elastic layer of the wiring: convolution, batch norm, activation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch import nn

from ..topology import Layer
from .activation import activate
from .batch_norm import ElasticBatchNorm2d
from .convolution import ElasticConv2d
from .deconvolution import ElasticConvTranspose2d
from .depthwise import ElasticDepthwiseConv2d

ElasticConv = ElasticConv2d | ElasticDepthwiseConv2d | ElasticConvTranspose2d


class ElasticUnit(nn.Module):
    """A layer that runs at any size up to its largest.

    Args:
        largest: the layer at its largest size.
        kernels: the kernel sizes on offer, for an elastic depthwise layer.
    """

    def __init__(self, largest: Layer, kernels: Sequence[int]) -> None:
        super().__init__()
        self.conv: ElasticConv | None = None
        if largest.kind == "conv":
            self.conv = ElasticConv2d(largest)
        elif largest.kind == "depthwise":
            self.conv = ElasticDepthwiseConv2d(largest, kernels)
        elif largest.kind == "deconv":
            self.conv = ElasticConvTranspose2d(largest)
        self.norm = ElasticBatchNorm2d(largest.out_channels) if largest.norm else None

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        """The output of `layer` for its input `x` (B, in, H, W)."""
        if self.conv is not None:
            x = self.conv(x, layer)
        if self.norm is None:
            return activate(x, layer.activation)
        output: Tensor = self.norm(x, layer.activation)
        return output
