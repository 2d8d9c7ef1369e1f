"""Lightweight Pose Network (Zhang et al., "Simple and Lightweight Human Pose Estimation", 2019): top-down.

SimpleBaseline's layout (a ResNet, transposed convolutions, heatmaps of one person) with depthwise
convolutions in the bottlenecks and the transposed ones, and global context in every block.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from supernet.errors import read_fields

from .static import ModuleFamily, StaticArch, StaticNetwork, require_at_least, require_count
from .units import ConvUnit, Residual, StartsSmall, UnitOptions

STEM = 64
STRIDES = (1, 2, 2, 1)
REDUCTION = 16
# Of the last weights of global context at the start.
CONTEXT_SCALE = 0.1


@dataclass(frozen=True)
class LPNSettings:
    """The numbers of one network.

    Attributes:
        depths: blocks of the four groups.
        widths: channels of the four groups.
        deconvs: channels of the transposed convolutions.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    deconvs: tuple[int, ...] = (256, 256)

    def __post_init__(self) -> None:
        require_count(len(STRIDES), depths=self.depths, widths=self.widths)
        # From 1/16 to the 1/4 that training and decoding go by.
        require_count(2, deconvs=self.deconvs)
        require_at_least(1, depths=self.depths, widths=self.widths, deconvs=self.deconvs)


class GlobalContext(StartsSmall):
    """Adds to every position what a small network makes of an attention-weighted mean (Cao et al. 2019)."""

    def __init__(self, channels: int, options: UnitOptions) -> None:
        super().__init__()
        middle = max(16, channels // REDUCTION)
        plain = replace(options, norm=False, activation=None, bias=True)
        self.mask = ConvUnit((channels, 1), 1, plain)
        self.squeeze = ConvUnit((channels, middle), 1, plain)
        self.norm = nn.LayerNorm([middle, 1, 1])
        self.act = nn.ReLU(inplace=True)
        self.excite = ConvUnit((middle, channels), 1, plain)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        mask = self.mask(x)
        # A softmax over positions without a reshape, so that the graph fits every image.
        weight = (mask - mask.amax((2, 3), keepdim=True)).exp()
        context = (x * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True)
        added: Tensor = self.excite(self.act(self.norm(self.squeeze(context))))
        return x + added

    def start_small(self) -> None:
        """The reference starts it at 0; its layer norm magnifies what is left of an almost even mean."""
        with torch.no_grad():
            self.excite.conv.weight.mul_(CONTEXT_SCALE)


def light_bottleneck(channels: tuple[int, int], stride: int, options: UnitOptions) -> Residual:
    """1x1, 3x3 depthwise and 1x1 convolution, then global context, with a shortcut."""
    width_in, width = channels
    body = nn.Sequential(
        ConvUnit((width_in, width), 1, options),
        ConvUnit((width, width), 3, options, stride=stride, groups=width),
        ConvUnit((width, width), 1, replace(options, activation=None)),
        GlobalContext(width, options),
    )
    return Residual(body, channels, stride, options)


class LPN(StaticNetwork):
    """LPN of any depth: heatmaps of the person in the middle of the crop."""

    settings = LPNSettings

    def __init__(self, arch: StaticArch, num_joints: int = 17, fused: bool = False) -> None:
        super().__init__(arch, num_joints, fused)
        settings = read_fields(LPNSettings, arch.settings, "settings")
        options = self.options
        self.stem = nn.Sequential(ConvUnit((3, STEM), 7, options, stride=2), nn.MaxPool2d(3, 2, 1))
        channels = STEM
        blocks = []
        for width, depth, stride in zip(settings.widths, settings.depths, STRIDES, strict=True):
            for i in range(depth):
                blocks.append(light_bottleneck((channels, width), 1 if i else stride, options))
                channels = width
        self.body = nn.Sequential(*blocks)
        ups = []
        for width in settings.deconvs:
            groups = math.gcd(channels, width)
            ups.append(ConvUnit((channels, width), 4, options, groups=groups, transposed=True))
            ups.append(ConvUnit((width, width), 1, options))
            channels = width
        self.up = nn.Sequential(*ups)
        plain = replace(options, norm=False, activation=None, bias=True)
        self.output = ConvUnit((channels, num_joints), 1, plain)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W), sides multiples of 32, to [(B, J, H/4, W/4) heatmaps]."""
        return [self.output(self.up(self.body(self.stem(images))))]


class LPNFamily(ModuleFamily):
    """LPN."""

    name = "lpn"
    heads = ("heatmaps",)
    network = LPN


LPN_FAMILY = LPNFamily()
