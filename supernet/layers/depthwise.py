"""Elastic depthwise convolution: the first channels; smaller kernels by chained transforms of the centre."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch import nn

from ..topology import Layer
from .depthwise_grad import depthwise_conv2d


class ElasticDepthwiseConv2d(nn.Module):
    """Depthwise convolution whose kernel of size k is a learned transform of the next larger one's centre.

    The largest kernel is stored. Going down the sorted sizes, each kernel is the centre crop of the one
    before, seen as a vector of k*k values and multiplied by a (k*k, k*k) matrix that all channels of the
    layer share (Cai et al., "Once-for-All", ICLR 2020, section 3.3). The matrices start as the identity.

    Args:
        largest: the layer at its largest size.
        kernels: the kernel sizes on offer.
    """

    def __init__(self, largest: Layer, kernels: Sequence[int]) -> None:
        super().__init__()
        self.kernels = tuple(sorted(set(kernels), reverse=True))
        self.weight = nn.Parameter(torch.empty(largest.out_channels, 1, largest.kernel, largest.kernel))
        self.transforms = nn.ParameterDict(
            {str(kernel): nn.Parameter(torch.eye(kernel * kernel)) for kernel in self.kernels[1:]}
        )

    def active_weight(self, layer: Layer) -> Tensor:
        """(channels, 1, k, k) weight of `layer`, kernel transforms applied."""
        weight = self.weight[: layer.out_channels]
        for kernel in self.kernels[1:]:
            if kernel < layer.kernel:
                break
            border = (weight.shape[-1] - kernel) // 2
            centre = weight[:, :, border : border + kernel, border : border + kernel]
            flat = centre.reshape(layer.out_channels, kernel * kernel)
            weight = (flat @ self.transforms[str(kernel)]).reshape(layer.out_channels, 1, kernel, kernel)
        return weight.contiguous()

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        """(B, channels, H, W) to (B, channels, H / stride, W / stride)."""
        return depthwise_conv2d(x, self.active_weight(layer), layer.stride, layer.padding)
