"""Peak extraction as a part of an exported network, for consumers that do not want whole heatmaps.

It repeats what `supernet.pose` does with maps: the mean of both scales, 3x3 suppression in which of equal
neighbours only the first in reading order stays, the K best per joint, the vertex of a parabola, bilinear
tags.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

NO_PEAK = -1.0
_LOWEST = -3.0e38


class PeakHead(nn.Module):
    """The best peaks of maps.

    Args:
        peaks: K >= 1.
    """

    def __init__(self, peaks: int) -> None:
        super().__init__()
        self.peaks = peaks

    def forward(self, quarter: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The peaks of `quarter` (B, 2J, h, w), J heatmaps then J tags, and `half` (B, J, 2h, 2w).

        Returns:
            scores (B, J, K), best first, -1 where a joint has fewer peaks; positions (B, J, K, 2), x and y in
            pixels of the half map (pixel i spans [i, i+1)); tags (B, J, K).
        """
        # Slices: every opset has them, while Split changed.
        joints = half.shape[1]
        coarse, tags_bjhw = quarter[:, :joints], quarter[:, joints:]
        enlarged = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        heat_bjhw = (enlarged + half) * 0.5
        height, width = heat_bjhw.shape[2:]
        flat = heat_bjhw.flatten(2)
        lone = torch.where(is_peak(heat_bjhw), heat_bjhw, NO_PEAK).flatten(2)
        scores, place = lone.topk(self.peaks)
        # By way of floats, exact for sides up to 4096: converters know Floor, few know integer Mod.
        row = torch.div(place, width, rounding_mode="floor")
        column = place - row * width
        x = column.float() + 0.5
        y = row.float() + 0.5
        positions = torch.stack(
            [x + vertex(flat, place, column, width, 1), y + vertex(flat, place, row, height, width)], dim=-1
        )
        return scores, positions, tags_at(tags_bjhw, x, y)


def is_peak(heat_bjhw: Tensor) -> Tensor:
    """(B, J, H, W) bool: above the neighbours before it in reading order, not below those after."""
    row_best = functional.max_pool2d(heat_bjhw, (1, 3), stride=1, padding=(0, 1))
    above = functional.pad(row_best[:, :, :-1], (0, 0, 1, 0), value=_LOWEST)
    below = functional.pad(row_best[:, :, 1:], (0, 0, 0, 1), value=_LOWEST)
    before = functional.pad(heat_bjhw[..., :-1], (1, 0), value=_LOWEST)
    after = functional.pad(heat_bjhw[..., 1:], (0, 1), value=_LOWEST)
    earlier, later = torch.maximum(above, before), torch.maximum(below, after)
    return (heat_bjhw > earlier) & (heat_bjhw >= later)


def vertex(flat: Tensor, place: Tensor, index: Tensor, size: int, step: int) -> Tensor:
    """(B, J, K) the shift, at most half a pixel, to the vertex of the parabola through a peak along one axis.

    Args:
        flat: (B, J, H * W) heat.
        place: (B, J, K) of the peaks in it.
        index: their row or column, of `size`, neighbours `step` apart in `flat`; on the border nothing moves.
    """
    inner = (index > 0) & (index < size - 1)
    before = flat.gather(2, torch.where(inner, place - step, place))
    after = flat.gather(2, torch.where(inner, place + step, place))
    bend = 2.0 * flat.gather(2, place) - before - after
    curved = bend > 0
    shift = (after - before) / (2.0 * torch.where(curved, bend, 1.0))
    return torch.where(curved, shift, 0.0).clamp(-0.5, 0.5)


def tags_at(tags_bjhw: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """(B, J, K) tags between the pixels of the quarter map, at pixel centres `x`, `y` of the half map."""
    height, width = tags_bjhw.shape[2:]
    flat = tags_bjhw.flatten(2)
    # Where a pixel of the half map lies on the quarter map, kept inside.
    down, right = ((centre * 0.5 - 0.5).clamp(min=0.0) for centre in (y, x))
    top, left = down.floor(), right.floor()
    down, right = down - top, right - left
    # Old opsets limit floats only.
    rows = (top.long(), (top + 1).clamp(max=height - 1).long())
    columns = (left.long(), (left + 1).clamp(max=width - 1).long())
    upper, lower = (
        flat.gather(2, row * width + columns[0]) * (1.0 - right)
        + flat.gather(2, row * width + columns[1]) * right
        for row in rows
    )
    return upper * (1.0 - down) + lower * down


class EndedNetwork(nn.Module):
    """A network that gives what a head's `ending` makes of its maps."""

    def __init__(self, net: nn.Module, ending: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.ending = ending

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) to what `ending` gives."""
        found: tuple[Tensor, ...] = self.ending(*self.net(images))
        return found
