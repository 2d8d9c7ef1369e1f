"""The multi-branch body of HRNet (Sun et al., CVPR 2019), of any number of branches, widths and depths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor
from torch import nn

from supernet.errors import InputError

from .settings import require_at_least
from .units import ConvUnit
from .units import UnitOptions
from .units import basic_block

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
