"""What the comparison networks are made of: convolution, batch norm, activation, and blocks of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor, nn

from supernet.network import BRANCH_SCALE

from ..network import scale_and_shift

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": partial(nn.ReLU, inplace=True),
    "elu": partial(nn.ELU, inplace=True),
    "silu": nn.SiLU,
}


@dataclass(frozen=True)
class UnitOptions:
    """How units are made.

    Attributes:
        fused: without batch norms, which are folded into the convolutions.
        norm: whether a batch norm follows.
        activation: a name in `ACTIVATIONS`, or None.
        bias: whether the convolution has one (it always has with folded norms).
    """

    fused: bool = False
    norm: bool = True
    activation: str | None = "relu"
    bias: bool = False


class ConvUnit(nn.Module):
    """A convolution (or transposed one that doubles the map), its batch norm and its activation.

    Args:
        channels: (input, output).
        kernel: side of the square kernel; odd, or 4 when `transposed`.
        options: norm, activation, bias.
        stride, groups, dilation: of the convolution; padded to keep a stride-1 map's size.
        transposed: a 4x4 transposed convolution of stride 2.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        kernel: int,
        options: UnitOptions,
        *,
        stride: int = 1,
        groups: int = 1,
        dilation: int = 1,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        bias = options.bias or (options.norm and options.fused)
        self.conv: nn.Conv2d | nn.ConvTranspose2d
        if transposed:
            self.conv = nn.ConvTranspose2d(*channels, 4, 2, 1, groups=groups, bias=bias)
        else:
            padding = dilation * (kernel - 1) // 2
            self.conv = nn.Conv2d(*channels, kernel, stride, padding, dilation, groups, bias)
        self.norm = nn.BatchNorm2d(channels[1]) if options.norm and not options.fused else None
        self.act = None if options.activation is None else ACTIVATIONS[options.activation]()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H', W')."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        return x if self.act is None else self.act(x)

    def folded(self) -> dict[str, Tensor]:
        """Weight and bias of the convolution with the norm (as in evaluation mode) folded in."""
        weight, bias = self.conv.weight.detach(), self.conv.bias
        if self.norm is None:
            return {"weight": weight} if bias is None else {"weight": weight, "bias": bias.detach()}
        scale, shift = (value.detach() for value in scale_and_shift(self.norm))
        factor = scale.view(-1, 1, 1, 1)
        if isinstance(self.conv, nn.ConvTranspose2d):
            # Its weight is (in, out / groups, 4, 4): every input channel has the outputs of its group.
            each = self.conv.in_channels // self.conv.groups
            factor = scale.view(self.conv.groups, -1, 1, 1).repeat_interleave(each, 0)
        shifted = shift if bias is None else shift + bias.detach().double() * scale
        return {"weight": (weight.double() * factor).to(weight), "bias": shifted.to(weight)}


class StartsSmall(nn.Module):
    """A branch that is added to its input: deep random networks magnify rounding unless it starts small.

    Attributes:
        body: the branch.
    """

    body: nn.Module

    def start_small(self) -> None:
        """By the branch's last norm."""
        units = (unit for unit in self.body.modules() if isinstance(unit, ConvUnit) and unit.norm is not None)
        *_, last = units
        assert last.norm is not None
        nn.init.constant_(last.norm.weight, BRANCH_SCALE)


class Residual(StartsSmall):
    """`relu(body(x) + shortcut(x))`; the shortcut is a 1x1 convolution where widths or sizes change."""

    def __init__(self, body: nn.Module, channels: tuple[int, int], stride: int, options: UnitOptions) -> None:
        super().__init__()
        self.body = body
        linear = replace(options, activation=None)
        changes = stride != 1 or channels[0] != channels[1]
        self.shortcut = ConvUnit(channels, 1, linear, stride=stride) if changes else nn.Identity()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) to (B, out, H / stride, W / stride)."""
        output: Tensor = self.act(self.body(x) + self.shortcut(x))
        return output


def basic_block(width: int, options: UnitOptions) -> Residual:
    """Two 3x3 convolutions with a shortcut (He et al. 2016, ResNet-18's block)."""
    linear = replace(options, activation=None)
    body = nn.Sequential(ConvUnit((width, width), 3, options), ConvUnit((width, width), 3, linear))
    return Residual(body, (width, width), 1, options)


def bottleneck(width_in: int, middle: int, width: int, options: UnitOptions) -> Residual:
    """1x1, 3x3 and 1x1 convolutions with a shortcut (ResNet-50's block)."""
    body = nn.Sequential(
        ConvUnit((width_in, middle), 1, options),
        ConvUnit((middle, middle), 3, options),
        ConvUnit((middle, width), 1, replace(options, activation=None)),
    )
    return Residual(body, (width_in, width), 1, options)
