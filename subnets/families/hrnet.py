"""HigherHRNet (Cheng et al., CVPR 2020): HRNet, and a transposed convolution to a map at 1/2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from supernet.errors import InputError, read_fields

from .static import ModuleFamily, StaticArch, StaticNetwork, require_at_least
from .units import ConvUnit, UnitOptions, basic_block, bottleneck

Maps = Sequence[Tensor]
# The coarsest is at 1/32 then; images are prepared in multiples of 32.
MOST_BRANCHES = 4


def check_branches(widths: Sequence[int], blocks: Sequence[Sequence[int]], modules: Sequence[int]) -> None:
    """Raise InputError unless each branch after the first begins a stage with depths of its own.

    Args:
        widths: channels of each branch, the finest first.
        blocks: per stage the basic blocks per module of each of its branches (stage i has i + 2); 0 leaves a
            branch as it is.
        modules: exchange modules of each stage.
    """
    wanted = list(range(2, len(widths) + 1))
    if not widths or [len(depths) for depths in blocks] != wanted or len(modules) != len(wanted):
        raise InputError(
            f"settings: {len(widths)} widths need {len(wanted)} modules, and blocks of {len(wanted)} stages "
            f"with {wanted} branches; found {len(modules)} and {[len(depths) for depths in blocks]}"
        )
    if len(widths) > MOST_BRANCHES:
        raise InputError(
            f"settings widths: {len(widths)} branches, of which there can be {MOST_BRANCHES}; "
            "images come in multiples of 32"
        )
    require_at_least(1, widths=widths, modules=modules)


class Exchange(nn.Module):
    """All branches of one scale summed: finer ones strided down, coarser ones (1x1) upsampled.

    Args:
        widths: channels of the branches.
        to: the branch of the sum; branch i is at 1/2^i of the first.
    """

    def __init__(self, widths: Sequence[int], to: int, options: UnitOptions) -> None:
        super().__init__()
        self.paths = nn.ModuleList(_path(widths, source, to, options) for source in range(len(widths)))
        self.act = nn.ReLU(inplace=True)

    def forward(self, maps: Maps) -> Tensor:
        """The branches' maps to (B, widths[to], h, w)."""
        first, *others = [path(x) for path, x in zip(self.paths, maps, strict=True)]
        for value in others:
            first = first + value
        output: Tensor = self.act(first)
        return output


def _path(widths: Sequence[int], source: int, to: int, options: UnitOptions) -> nn.Module:
    linear = replace(options, activation=None)
    if source == to:
        return nn.Identity()
    if source > to:
        # Nearest, as the reference; a factor and no size, so that the graph fits every image.
        up = nn.Upsample(scale_factor=float(2 ** (source - to)), mode="nearest")
        return nn.Sequential(ConvUnit((widths[source], widths[to]), 1, linear), up)
    steps = [ConvUnit((widths[source],) * 2, 3, options, stride=2) for _ in range(to - source - 1)]
    return nn.Sequential(*steps, ConvUnit((widths[source], widths[to]), 3, linear, stride=2))


class Module(nn.Module):
    """Parallel branches of basic blocks, then an exchange between them.

    Args:
        widths, blocks: of the branches.
        outputs: how many branches come out, the finest first.
    """

    def __init__(
        self, widths: Sequence[int], blocks: Sequence[int], outputs: int, options: UnitOptions
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(basic_block(width, options) for _ in range(depth)))
            for width, depth in zip(widths, blocks, strict=True)
        )
        self.exchanges = nn.ModuleList(Exchange(widths, to, options) for to in range(outputs))

    def forward(self, maps: Maps) -> list[Tensor]:
        """The branches' maps to those of the first `outputs` branches."""
        after = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        return [exchange(after) for exchange in self.exchanges]


def stage(
    widths: Sequence[int], blocks: Sequence[int], modules: int, options: UnitOptions, last: bool
) -> nn.Sequential:
    """`modules` modules in a row; the `last` stage gives the finest branch alone."""
    outputs = [len(widths)] * modules
    if last:
        outputs[-1] = 1
    return nn.Sequential(*(Module(widths, blocks, count, options) for count in outputs))


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

    settings = HigherHRNetSettings

    def __init__(self, arch: StaticArch, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__(arch, num_joints, fused)
        settings = read_fields(HigherHRNetSettings, arch.settings, "settings")
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
        """(B, 3, H, W), sides multiples of the family's step, to (B, 2J, H/4, W/4) and (B, J, H/2, W/2)."""
        output: list[Tensor] = self.head(self.branches(self.bottlenecks(self.stem(images))))
        return output


class HigherHRNetFamily(ModuleFamily):
    """HigherHRNet; costs as published."""

    name = "higherhrnet"
    heads = ("embedding",)
    network = HigherHRNet

    def step(self, arch: Any) -> int:
        """The stride of the coarsest branch, or the 16 that images are prepared in."""
        return max(LEAST_STEP, FINEST << len(self.settings(arch).widths) - 1)


HIGHERHRNET = HigherHRNetFamily()
