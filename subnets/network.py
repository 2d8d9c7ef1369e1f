"""The static network of one architecture: plain layers, no elastic ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn

from supernet.arch import Arch
from supernet.initialise import initialise
from supernet.layers.activation import activate
from supernet.layers.depthwise_grad import depthwise_conv2d
from supernet.module_tree import ModuleTree
from supernet.topology import Layer
from supernet.topology import layers
from supernet.topology import wire


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise `nn.Conv2d` with a faster weight gradient on CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / stride, W / stride)."""
        if self.bias is not None:
            return super().forward(input)
        return depthwise_conv2d(input, self.weight, int(self.stride[0]), int(self.padding[0]))


class Unit(nn.Module):
    """Convolution, batch norm, activation; either of the first two may be absent."""

    def __init__(self, layer: Layer, fused: bool = False) -> None:
        super().__init__()
        sizes = (layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding)
        bias = fused and layer.norm
        self.conv: nn.Module | None = None
        if layer.kind == "conv":
            self.conv = nn.Conv2d(*sizes, bias=bias)
        elif layer.kind == "depthwise":
            self.conv = DepthwiseConv2d(*sizes, groups=layer.groups, bias=bias)
        elif layer.kind == "deconv":
            self.conv = nn.ConvTranspose2d(*sizes, bias=False)
        keeps_norm = layer.norm and (not fused or self.conv is None)
        self.norm = nn.BatchNorm2d(layer.out_channels) if keeps_norm else None
        self.activation = layer.activation

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output for its input `x` (B, in, H, W)."""
        if self.conv is not None:
            x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return activate(x, self.activation)


class Subnet(ModuleTree[Unit]):
    """One architecture as a plain `nn.Module`.

    Attributes:
        arch: the architecture.
        num_joints: J, the number of joints.
        fused: whether batch norms are folded into the convolutions before them.
    """

    def __init__(self, arch: Arch, num_joints: int = 14, fused: bool = False) -> None:
        self.arch = arch
        self.num_joints = num_joints
        self.fused = fused
        super().__init__(layers(arch, num_joints), lambda layer: Unit(layer, fused))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Run the network.

        Args:
            images: (B, 3, H, W), normalised, sides multiples of 16.

        Returns:
            (B, 2J, H/4, W/4), J heatmaps then J tags, and (B, J, H/2, W/2), J heatmaps.
        """
        return wire(self.arch, self._apply_unit, torch.add, images)

    def _apply_unit(self, name: str, x: Tensor) -> Tensor:
        return self._units[name](x)


def build(arch: Arch, num_joints: int = 14, seed: int = 0) -> Subnet:
    """The static network of `arch` with fresh weights from `seed`."""
    net = Subnet(arch, num_joints)
    generator = torch.Generator().manual_seed(seed)
    for layer in layers(arch, num_joints):
        conv = net.unit(layer.name).conv
        if conv is not None:
            assert isinstance(conv.weight, nn.Parameter)
            initialise(conv.weight, layer, generator)
    return net
