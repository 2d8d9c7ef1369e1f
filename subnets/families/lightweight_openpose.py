"""Lightweight OpenPose (Osokin, 2018): a dilated MobileNet, then heatmaps and part affinity fields.

For cost and latency only: its fields are neither trained nor grouped here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from supernet.errors import read_fields

from .static import ModuleFamily, StaticArch, StaticNetwork, require_at_least
from .units import ConvUnit, UnitOptions

STEM = 32
# MobileNet up to conv5_5: output channels, stride, dilation of each depthwise-separable block.
BACKBONE = (
    (64, 1, 1),
    (128, 2, 1),
    (128, 1, 1),
    (256, 2, 1),
    (256, 1, 1),
    (512, 1, 1),
    (512, 1, 2),
    *(((512, 1, 1),) * 4),
)
BOTTLENECK = 512


@dataclass(frozen=True)
class LightweightOpenPoseSettings:
    """The numbers of one network.

    Attributes:
        channels: of the maps that the stages work on.
        heatmaps: joints, the neck and the background.
        fields: two per limb.
        refinements: stages after the first.
    """

    channels: int = 128
    heatmaps: int = 19
    fields: int = 38
    refinements: int = 1

    def __post_init__(self) -> None:
        require_at_least(1, channels=self.channels, heatmaps=self.heatmaps, fields=self.fields)


def separable(
    channels: tuple[int, int], options: UnitOptions, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """3x3 depthwise and 1x1 convolution."""
    width_in = channels[0]
    depthwise = ConvUnit((width_in, width_in), 3, options, stride=stride, groups=width_in, dilation=dilation)
    return nn.Sequential(depthwise, ConvUnit(channels, 1, options))


class Bridge(nn.Module):
    """From the backbone's channels to those of the stages."""

    def __init__(self, channels: tuple[int, int], options: UnitOptions) -> None:
        super().__init__()
        width = channels[1]
        biased = replace(options, norm=False, bias=True)
        bare = replace(options, norm=False, activation="elu")
        self.align = ConvUnit(channels, 1, biased)
        self.trunk = nn.Sequential(*(separable((width, width), bare) for _ in range(3)))
        self.mix = ConvUnit((width, width), 3, biased)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) to (B, out, h, w)."""
        x = self.align(x)
        output: Tensor = self.mix(x + self.trunk(x))
        return output


class Outputs(nn.Module):
    """Heatmaps and fields, each by two 1x1 convolutions."""

    def __init__(self, width: int, middle: int, settings: LightweightOpenPoseSettings, options: UnitOptions):
        super().__init__()
        biased = replace(options, norm=False, bias=True)
        plain = replace(biased, activation=None)
        self.branches = nn.ModuleList(
            nn.Sequential(ConvUnit((width, middle), 1, biased), ConvUnit((middle, count), 1, plain))
            for count in (settings.heatmaps, settings.fields)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, width, h, w) to (B, heatmaps, h, w) and (B, fields, h, w)."""
        return [branch(x) for branch in self.branches]


class Refinement(nn.Module):
    """1x1, then two 3x3 convolutions, the second dilated, with a shortcut around them."""

    def __init__(self, channels: tuple[int, int], options: UnitOptions) -> None:
        super().__init__()
        width = channels[1]
        biased = replace(options, bias=True)
        self.first = ConvUnit(channels, 1, replace(biased, norm=False))
        self.trunk = nn.Sequential(
            ConvUnit((width, width), 3, biased), ConvUnit((width, width), 3, biased, dilation=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, h, w) to (B, out, h, w)."""
        x = self.first(x)
        output: Tensor = x + self.trunk(x)
        return output


class LightweightOpenPose(StaticNetwork):
    """Lightweight OpenPose with any number of refinements."""

    settings = LightweightOpenPoseSettings

    def __init__(self, arch: StaticArch, num_joints: int = 17, fused: bool = False) -> None:
        super().__init__(arch, num_joints, fused)
        settings = read_fields(LightweightOpenPoseSettings, arch.settings, "settings")
        options, width = self.options, settings.channels
        blocks: list[nn.Module] = [ConvUnit((3, STEM), 3, options, stride=2)]
        channels = STEM
        for out, stride, dilation in BACKBONE:
            blocks.append(separable((channels, out), options, stride, dilation))
            channels = out
        self.backbone = nn.Sequential(*blocks, Bridge((channels, width), options))
        plain = replace(options, norm=False, bias=True)
        self.trunk = nn.Sequential(*(ConvUnit((width, width), 3, plain) for _ in range(3)))
        self.outputs_first = Outputs(width, BOTTLENECK, settings, options)
        joined = width + settings.heatmaps + settings.fields
        self.refinements = nn.ModuleList(
            nn.Sequential(
                *(Refinement((width if i else joined, width), options) for i in range(5)),
                Outputs(width, width, settings, options),
            )
            for _ in range(settings.refinements)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W), sides multiples of 8, to heatmaps (B, 19, H/8, W/8) and fields (B, 38, H/8, W/8)."""
        features = self.backbone(images)
        found: list[Tensor] = self.outputs_first(self.trunk(features))
        for refine in self.refinements:
            found = refine(torch.cat((features, *found), dim=1))
        return found


class LightweightOpenPoseFamily(ModuleFamily):
    """Lightweight OpenPose; its outputs are those of COCO's joints."""

    name = "lightweight-openpose"
    heads = ("fields",)
    skeleton = "coco"
    network = LightweightOpenPose

    def step(self, arch: Any) -> int:
        """The stride of its one map."""
        return 8


LIGHTWEIGHT_OPENPOSE = LightweightOpenPoseFamily()
