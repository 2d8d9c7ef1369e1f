"""EfficientHRNet (Neff et al., 2020): an EfficientNet whose maps at 1/4 to 1/32 feed the branches of HRNet.

Source: arXiv 2007.08090 and the released configurations. All widths and depths follow from three factors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from supernet.errors import InputError, read_fields

from .hrnet import HigherHead, Maps, stage
from .static import ModuleFamily, StaticArch, StaticNetwork, require_at_least, require_count
from .units import ConvUnit, StartsSmall, UnitOptions

# EfficientNet-B0: expansion, channels, blocks, stride, kernel of each group; and which groups feed a branch.
GROUPS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
TAPS = (1, 2, 4, 6)
STEM = 32
WIDTHS = (32, 64, 128, 256)
# Branches of each level are this factor of those of the level before.
WIDTH_STEP = 1.2455
SQUEEZE = 4


@dataclass(frozen=True)
class EfficientHRNetSettings:
    """The numbers of one network.

    Attributes:
        level: 0 for the baseline H0, 1 for H-1, ...: branch widths shrink by 1.2455 a level.
        width: factor on EfficientNet-B0's channels, which are then rounded to multiples of 8.
        depth: factor on EfficientNet-B0's blocks per group, rounded up.
        modules: exchange modules of the stages of 2, 3 and 4 branches.
        blocks: basic blocks per branch and module, and in the head.
    """

    level: int
    width: float
    depth: float
    modules: tuple[int, ...]
    blocks: int = 2

    def __post_init__(self) -> None:
        require_count(len(WIDTHS) - 1, modules=self.modules)
        require_at_least(1, modules=self.modules)
        for name in ("width", "depth"):
            if not getattr(self, name) > 0:
                raise InputError(f"settings {name}: {getattr(self, name)} must be above 0")


def branch_widths(level: int) -> tuple[int, ...]:
    """Channels of the four branches of H-`level`."""
    return tuple(max(1, math.ceil(width * WIDTH_STEP**-level)) for width in WIDTHS)


def rounded(channels: float) -> int:
    """The multiple of 8 that EfficientNet takes for `channels`: the nearest, but at least 90%."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


class SqueezeExcite(nn.Module):
    """Channels scaled by what a small network makes of their means (Hu et al. 2018)."""

    def __init__(self, channels: int, middle: int, options: UnitOptions) -> None:
        super().__init__()
        plain = replace(options, norm=False, bias=True)
        self.squeeze = ConvUnit((channels, middle), 1, replace(plain, activation="silu"))
        self.excite = ConvUnit((middle, channels), 1, replace(plain, activation=None))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), each channel times a factor in 0..1."""
        factor = torch.sigmoid(self.excite(self.squeeze(x.mean((2, 3), keepdim=True))))
        return x * factor


class MBConv(StartsSmall):
    """Inverted bottleneck with squeeze-and-excitation (Tan and Le 2019)."""

    def __init__(
        self, channels: tuple[int, int], expansion: int, kernel: int, stride: int, options: UnitOptions
    ) -> None:
        super().__init__()
        width_in, width = channels
        hidden = width_in * expansion
        swish = replace(options, activation="silu")
        expand = [ConvUnit((width_in, hidden), 1, swish)] if expansion != 1 else []
        self.body = nn.Sequential(
            *expand,
            ConvUnit((hidden, hidden), kernel, swish, stride=stride, groups=hidden),
            SqueezeExcite(hidden, max(1, width_in // SQUEEZE), options),
            ConvUnit((hidden, width), 1, replace(options, activation=None)),
        )
        self.adds = stride == 1 and width_in == width

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H / stride, W / stride)."""
        y: Tensor = self.body(x)
        return x + y if self.adds else y

    def start_small(self) -> None:
        """Where there is something to add to."""
        if self.adds:
            super().start_small()


class FedStage(nn.Module):
    """An HRNet stage of which every branch starts with a convolution, the new one from the EfficientNet.

    Args:
        sources: channels of the maps before.
        widths: channels of the branches.
    """

    def __init__(
        self,
        sources: Sequence[int],
        widths: Sequence[int],
        settings: EfficientHRNetSettings,
        options: UnitOptions,
    ) -> None:
        super().__init__()
        # The reference gives these convolutions a bias beside their norm.
        into = replace(options, bias=True)
        self.starts = nn.ModuleList(ConvUnit(pair, 3, into) for pair in zip(sources, widths, strict=True))
        count, last = len(widths), len(widths) == len(WIDTHS)
        modules = settings.modules[count - 2]
        self.body = stage(widths, [settings.blocks] * count, modules, options, last)

    def forward(self, maps: Maps) -> list[Tensor]:
        """The maps before to those of the branches; the last stage gives the finest alone."""
        output: list[Tensor] = self.body([start(x) for start, x in zip(self.starts, maps, strict=True)])
        return output


class EfficientHRNet(StaticNetwork):
    """EfficientHRNet of any level."""

    settings = EfficientHRNetSettings

    def __init__(self, arch: StaticArch, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__(arch, num_joints, fused)
        settings = read_fields(EfficientHRNetSettings, arch.settings, "settings")
        options, widths = self.options, branch_widths(settings.level)
        channels = rounded(STEM * settings.width)
        self.stem = ConvUnit((3, channels), 3, replace(options, activation="silu"), stride=2)
        groups, sources = [], []
        for expansion, width, count, stride, kernel in GROUPS:
            blocks = []
            for i in range(math.ceil(count * settings.depth)):
                out = rounded(width * settings.width)
                blocks.append(MBConv((channels, out), expansion, kernel, 1 if i else stride, options))
                channels = out
            groups.append(nn.Sequential(*blocks))
            sources.append(channels)
        self.groups = nn.ModuleList(groups)
        taps = [sources[tap] for tap in TAPS]
        before = ((taps[0],), widths[:2], widths[:3])
        self.stages = nn.ModuleList(
            FedStage((*before[i], taps[i + 1]), widths[: i + 2], settings, options)
            for i in range(len(before))
        )
        self.head = HigherHead((widths[0], widths[0]), num_joints, settings.blocks, options)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W), sides multiples of 32, to (B, 2J, H/4, W/4) and (B, J, H/2, W/2)."""
        x = self.stem(images)
        taps = []
        for place, group in enumerate(self.groups):
            x = group(x)
            if place in TAPS:
                taps.append(x)
        maps: Maps = taps[:1]
        for tap, fed in zip(taps[1:], self.stages, strict=True):
            maps = fed([*maps, tap])
        output: list[Tensor] = self.head(maps[0])
        return output


class EfficientHRNetFamily(ModuleFamily):
    """EfficientHRNet."""

    name = "efficienthrnet"
    heads = ("embedding",)
    network = EfficientHRNet


EFFICIENTHRNET = EfficientHRNetFamily()
