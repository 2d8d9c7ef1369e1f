"""Elastic layers: the first channels of shared weights, smaller kernels by transforms of the centre."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..native.functional import activate, batch_norm_act, depthwise_conv2d
from .description import Activation, Layer


class ElasticBatchNorm2d(nn.Module):
    """Batch norm over the first C of `num_features` channels, C being what comes in.

    Training uses batch statistics and leaves the running ones alone: those of one subnet are not those of
    another, so they are set by calibration, which gives `momentum` a value for as long as it runs.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum: float | None = None
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def reset_running_stats(self) -> None:
        """Mean 0 and variance 1, as `nn.BatchNorm2d` does."""
        self.running_mean.zero_()
        self.running_var.fill_(1)

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        """(B, C, H, W) normalised over B, H, W in training, by the running statistics in evaluation; then
        activated.
        """
        channels = x.shape[1]
        updates = self.training and self.momentum is not None
        reads = not self.training
        return batch_norm_act(
            x,
            self.running_mean[:channels] if updates or reads else None,
            self.running_var[:channels] if updates or reads else None,
            self.weight[:channels],
            self.bias[:channels],
            training=self.training,
            momentum=self.momentum if self.momentum is not None else 0.0,
            eps=self.eps,
            activation=activation,
        )


class ElasticConv2d(nn.Module):
    """Dense convolution without bias whose active weight is a corner of the largest one.

    Args:
        largest: the layer at its largest size.
        transposed: whether it is a transposed convolution, whose weight is (in, out, k, k).
    """

    def __init__(self, largest: Layer, transposed: bool = False) -> None:
        super().__init__()
        self._transposed = transposed
        self.weight = nn.Parameter(torch.empty(*self._sizes(largest), largest.kernel, largest.kernel))

    def _sizes(self, layer: Layer) -> tuple[int, int]:
        sizes = layer.out_channels, layer.in_channels
        return sizes[::-1] if self._transposed else sizes

    def active_weight(self, layer: Layer) -> Tensor:
        """(out, in, k, k) weight of `layer`, transposed (in, out, k, k)."""
        first, second = self._sizes(layer)
        # Contiguous, so that the kernel that runs is the one that a plain layer of this size would use.
        return self.weight[:first, :second].contiguous()

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        """(B, in, H, W) to (B, out, H / stride, W / stride), transposed (B, out, stride * H, stride * W)."""
        run = F.conv_transpose2d if self._transposed else F.conv2d
        return run(x, self.active_weight(layer), stride=layer.stride, padding=layer.padding)


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

    def undecayed(self) -> Iterable[nn.Parameter]:
        """The transforms, whose rest is the identity and not 0."""
        return self.transforms.values()

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


def rearranged(x: Tensor, layer: Layer) -> Tensor:
    """`x` as a `layer` without a convolution passes it on: each pixel repeated, some of the channels."""
    if layer.kind == "slice":
        some = x[:, layer.first :: layer.in_channels // layer.out_channels]
        last = x.is_contiguous(memory_format=torch.channels_last)
        return some.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
    return x if layer.stride == 1 else F.interpolate(x, scale_factor=float(layer.stride), mode="nearest")


ElasticConv = ElasticConv2d | ElasticDepthwiseConv2d


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
            self.conv = ElasticConv2d(largest, transposed=True)
        self.norm = ElasticBatchNorm2d(largest.out_channels) if largest.norm else None

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        """The output of `layer` for its input `x` (B, in, H, W)."""
        x = rearranged(x, layer) if self.conv is None else self.conv(x, layer)
        if self.norm is None:
            return activate(x, layer.activation)
        output: Tensor = self.norm(x, layer.activation)
        return output
