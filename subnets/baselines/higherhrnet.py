"""HigherHRNet (Cheng et al., CVPR 2020): HRNet, and a transposed convolution to a map at 1/2."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import torch
from torch import Tensor
from torch import nn

from .arch import StaticArch
from .hrnet import Maps
from .hrnet import check_branches
from .hrnet import stage
from .network import StaticNetwork
from .settings import read_settings
from .settings import require_at_least
from .units import ConvUnit
from .units import UnitOptions
from .units import basic_block
from .units import bottleneck

EXPANSION = 4
# Stride of the finest branch.
FINEST = 4
LEAST_STEP = 16


@dataclass(frozen=True)
class HigherHRNetSettings:
    """The numbers of one network.

    Attributes:
        widths: channels of the branches at 1/4, 1/8, ...; one for a single branch.
        blocks: per stage the basic blocks per module of each of its branches (stage i has i + 2); 0 leaves a
            branch as it is.
        modules: exchange modules of each stage.
        head: channels at 1/2.
        stem: channels of the two strided convolutions and of the bottlenecks' middle.
        bottlenecks: blocks between the stem and the branches.
        head_blocks: basic blocks after the transposed convolution.
    """

    widths: tuple[int, ...]
    blocks: tuple[tuple[int, ...], ...]
    modules: tuple[int, ...]
    head: int
    stem: int = 64
    bottlenecks: int = 4
    head_blocks: int = 4

    def __post_init__(self) -> None:
        check_branches(self.widths, self.blocks, self.modules)
        require_at_least(1, head=self.head, stem=self.stem)


class HigherHead(nn.Module):
    """Heatmaps and tags at 1/4, and from there with them heatmaps at 1/2.

    Args:
        channels: of the maps at 1/4 and at 1/2.
        num_joints: J.
        blocks: basic blocks after the transposed convolution.
    """

    def __init__(self, channels: tuple[int, int], num_joints: int, blocks: int, options: UnitOptions) -> None:
        super().__init__()
        plain = replace(options, norm=False, activation=None, bias=True)
        coarse, fine = channels
        self.output_quarter = ConvUnit((coarse, 2 * num_joints), 1, plain)
        self.up = ConvUnit((coarse + 2 * num_joints, fine), 4, options, transposed=True)
        self.blocks = nn.Sequential(*(basic_block(fine, options) for _ in range(blocks)))
        self.output_half = ConvUnit((fine, num_joints), 1, plain)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, width, H/4, W/4) to (B, 2J, H/4, W/4) and (B, J, H/2, W/2)."""
        quarter = self.output_quarter(x)
        return [quarter, self.output_half(self.blocks(self.up(torch.cat((x, quarter), dim=1))))]


class Branches(nn.Module):
    """The stages of an HRNet, each with one branch more, begun from the map of the stage before.

    Args:
        width_in: channels of the map at 1/4 that all starts from.
    """

    def __init__(self, width_in: int, settings: HigherHRNetSettings, options: UnitOptions) -> None:
        super().__init__()
        widths = settings.widths
        # A stage whose first branch keeps its width starts from it directly.
        self.first = ConvUnit((width_in, widths[0]), 3, options) if width_in != widths[0] else nn.Identity()
        self.starts = nn.ModuleList(
            ConvUnit((source, width), 3, options, stride=2)
            for source, width in zip((width_in, *widths[1:]), widths[1:], strict=False)
        )
        last = len(widths) - 2
        self.stages = nn.ModuleList(
            stage(widths[: i + 2], depths, modules, options, last=i == last)
            for i, (depths, modules) in enumerate(zip(settings.blocks, settings.modules, strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in, H/4, W/4) to (B, widths[0], H/4, W/4)."""
        maps: Maps = [self.first(x)]
        for start, body in zip(self.starts, self.stages, strict=True):
            maps = body([*maps, start(x)])
            x = maps[-1]
        return maps[0]


class HigherHRNet(StaticNetwork):
    """HigherHRNet of any width, also with fewer branches, modules or blocks."""

    @classmethod
    def step_of(cls, arch: StaticArch) -> int:
        """The stride of the coarsest branch, or the 16 that images are prepared in."""
        branches = len(read_settings(HigherHRNetSettings, arch.settings).widths)
        return max(LEAST_STEP, FINEST << branches - 1)

    def __init__(self, arch: StaticArch, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__(arch, num_joints, fused)
        settings = read_settings(HigherHRNetSettings, arch.settings)
        options, stem = self.options, settings.stem
        self.stem = nn.Sequential(
            ConvUnit((3, stem), 3, options, stride=2), ConvUnit((stem, stem), 3, options, stride=2)
        )
        wide = stem * EXPANSION if settings.bottlenecks else stem
        self.bottlenecks = nn.Sequential(
            *(bottleneck(wide if i else stem, stem, wide, options) for i in range(settings.bottlenecks))
        )
        self.branches = Branches(wide, settings, options)
        self.head = HigherHead((settings.widths[0], settings.head), num_joints, settings.head_blocks, options)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W), sides multiples of `step_of`, to (B, 2J, H/4, W/4) and (B, J, H/2, W/2)."""
        output: list[Tensor] = self.head(self.branches(self.bottlenecks(self.stem(images))))
        return output
