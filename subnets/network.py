"""The static network of one architecture: plain layers, no elastic ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import nn

from supernet.arch import Arch
from supernet.initialise import initialise
from supernet.layers.activation import activate
from supernet.layers.depthwise_grad import depthwise_conv2d
from supernet.layers.norm_act import batch_norm_act
from supernet.module_tree import ModuleTree
from supernet.pose.skeletons import Skeleton
from supernet.topology import Activation
from supernet.topology import Layer
from supernet.topology import layers
from supernet.topology import wire

from .folding import biased_layers
from .meta import default_skeleton


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise `nn.Conv2d` with a faster weight gradient on CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / stride, W / stride)."""
        if self.bias is not None:
            return super().forward(input)
        return depthwise_conv2d(input, self.weight, int(self.stride[0]), int(self.padding[0]))


class BatchNorm2d(nn.BatchNorm2d):
    """An `nn.BatchNorm2d` that activates too, in one step where it trains on CPU."""

    def forward(self, input: Tensor, activation: Activation | None = None) -> Tensor:
        """(B, C, H, W), normalised and activated."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return batch_norm_act(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
            activation,
        )


class Unit(nn.Module):
    """Convolution, batch norm, activation; either of the first two may be absent."""

    def __init__(self, layer: Layer, bias: bool, norm: bool) -> None:
        super().__init__()
        sizes = (layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding)
        self.conv: nn.Conv2d | nn.ConvTranspose2d | None = None
        if layer.kind == "conv":
            self.conv = nn.Conv2d(*sizes, bias=bias)
        elif layer.kind == "depthwise":
            self.conv = DepthwiseConv2d(*sizes, groups=layer.groups, bias=bias)
        elif layer.kind == "deconv":
            self.conv = nn.ConvTranspose2d(*sizes, bias=bias)
        self.norm = BatchNorm2d(layer.out_channels) if norm else None
        self.activation = layer.activation

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output for its input `x` (B, in, H, W)."""
        if self.conv is not None:
            x = self.conv(x)
        if self.norm is None:
            return activate(x, self.activation)
        output: Tensor = self.norm(x, self.activation)
        return output


class Subnet(ModuleTree[Unit]):
    """One architecture as a plain `nn.Module`.

    Args:
        arch: the architecture.
        num_joints: J, the number of joints.
        fused: whether the batch norms are folded into the convolutions (`subnets.fuse` makes such a network).

    Attributes:
        arch, num_joints, fused: as given.
        skeleton: the joint layout of the outputs, if known: CrowdPose's for 14 joints, COCO's for 17; assign
            another.
        about: facts that travel with the network (source, scores), kept by `save` and `load`.
    """

    def __init__(self, arch: Arch, num_joints: int = 14, fused: bool = False) -> None:
        self.arch = arch
        self.num_joints = num_joints
        self.fused = fused
        self.skeleton: Skeleton | None = default_skeleton(num_joints)
        self.about: dict[str, Any] = {}
        found = layers(arch, num_joints)
        biased = biased_layers(arch, num_joints) if fused else frozenset()
        super().__init__(found, lambda layer: Unit(layer, layer.name in biased, layer.norm and not fused))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Run the network.

        Args:
            images: (B, 3, H, W), normalised, sides multiples of 16.

        Returns:
            (B, 2J, H/4, W/4), J heatmaps then J tags, and (B, J, H/2, W/2), J heatmaps.
        """
        return wire(self.arch, self._apply_unit, torch.add, images)

    def _apply_unit(self, name: str, x: Tensor) -> Tensor:
        output: Tensor = self.unit(name)(x)
        return output


def build(arch: Arch, num_joints: int = 14, seed: int = 0) -> Subnet:
    """The static network of `arch` with fresh weights from `seed`."""
    net = Subnet(arch, num_joints)
    generator = torch.Generator().manual_seed(seed)
    for layer in layers(arch, num_joints):
        unit = net.unit(layer.name)
        initialise(unit.conv, unit.norm, layer, generator)
    return net
