"""Batch norms folded into the convolutions before them, for inference."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn

from supernet.errors import InputError
from supernet.topology import layers

from .folding import norm_sources
from .network import Subnet


def fuse(net: Subnet) -> Subnet:
    """A copy of `net` without batch norms: equal to `net` in evaluation mode up to rounding.

    Every norm becomes a factor on the weights and a bias of the convolution before it; those of the head,
    which follow the sum of two deconvolutions, go into both (the bias into the first). The copy is in
    evaluation mode.

    Raises:
        InputError: `net` is fused already.
    """
    if net.fused:
        raise InputError("the network is fused already; fuse the one with batch norms")
    reference = next(net.parameters())
    fused = Subnet(net.arch, net.num_joints, fused=True).to(device=reference.device, dtype=reference.dtype)
    fused.skeleton, fused.about = net.skeleton, dict(net.about)
    with torch.no_grad():
        for layer in layers(net.arch, net.num_joints):
            source, target = net.unit(layer.name).conv, fused.unit(layer.name).conv
            if source is not None and target is not None:
                target.weight.copy_(source.weight)
        for name, sources in norm_sources(net.arch, net.num_joints).items():
            norm = net.unit(name).norm
            assert norm is not None
            _fold(norm, [fused.unit(source).conv for source in sources])
    return fused.eval()


def _fold(norm: nn.BatchNorm2d, convs: list[nn.Conv2d | nn.ConvTranspose2d | None]) -> None:
    scale, shift = scale_and_shift(norm)
    for index, conv in enumerate(convs):
        assert conv is not None
        # The output channels of a transposed convolution are its weight's second axis.
        shape = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
        conv.weight.copy_(conv.weight.double() * scale.view(shape))
        if index == 0:
            assert conv.bias is not None
            conv.bias.copy_(shift)


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(C,) float64 factors and offsets: `norm(x)` in evaluation mode is `x * scale + shift`."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale
