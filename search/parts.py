"""The parts of a network that are timed on their own: stem, blocks, head steps, outputs of the raw maps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import replace
from typing import TypeVar

from supernet.arch import Arch
from supernet.topology import Layer
from supernet.topology import layers

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """One part at one resolution; equal parts take equal time wherever they stand.

    Attributes:
        group: `stem`, `stage1` .. `stage4`, `head1` .. `head3` or `raw`; equal parts of different groups
            differ in what surrounds them.
        resolution: side of the network's square input in pixels.
        layers: the part's layers, with names that do not tell its place.
    """

    group: str
    resolution: int
    layers: tuple[Layer, ...]

    @property
    def inputs(self) -> tuple[tuple[int, int], ...]:
        """(channels, side) of each input map."""
        first = self.layers[0]
        if first.kind == "deconv":
            side = self.resolution // (first.scale * first.stride)
            return tuple((layer.in_channels, side) for layer in self.layers if layer.kind == "deconv")
        return ((first.in_channels, self.resolution // (first.scale // first.stride)),)

    @property
    def is_residual(self) -> bool:
        """Whether the part adds its input (a block of stride 1 between equal widths)."""
        if not self.group.startswith("stage"):
            return False
        strides = {layer.stride for layer in self.layers}
        return strides == {1} and self.layers[0].in_channels == self.layers[-1].out_channels

    def to_row(self) -> list[object]:
        """Plain form: group, resolution, then the numbers of every layer."""
        found: list[object] = [self.group, self.resolution]
        for layer in self.layers:
            found.append([layer.name, layer.in_channels, layer.out_channels, layer.kernel])
        return found


def split_parts(resolution: int, found: Iterable[Layer]) -> list[Part]:
    """The parts that `found` (a network's layers, or some of its parts') makes up."""
    parts = []
    for (group, depth), some in itertools.groupby(found, _place):
        renamed = tuple(replace(layer, name=".".join(layer.name.split(".")[depth[0] :])) for layer in some)
        parts.append(Part(group, resolution, renamed))
    return parts


def _place(layer: Layer) -> tuple[str, tuple[int, str]]:
    """The group of a layer, and how its part's name is told from others (length and text of the prefix)."""
    names = layer.name.split(".")
    if names[0] == "stem":
        return "stem", (1, "stem")
    if names[0] == "stages":
        return f"stage{int(names[1]) + 1}", (3, ".".join(names[:3]))
    if names[2] == "output_raw":
        return "raw", (3, ".".join(names[:3]))
    return f"head{int(names[1]) + 1}", (2, ".".join(names[:2]))


def has_bias(layer: Layer) -> bool:
    """Whether a layer's convolution has a bias once batch norms are folded (see `subnets.folding`)."""
    return layer.norm if layer.kind != "deconv" else layer.name.endswith("refined")


def network_parts(arch: Arch, num_joints: int) -> list[Part]:
    """The parts of a network at its own resolution."""
    return split_parts(arch.resolution, layers(arch, num_joints))


def wire_part(part: Part, apply: Callable[[str, T], T], add: Callable[[T, T], T], inputs: list[T]) -> list[T]:
    """Run a part: `apply(layer name, value)` computes a layer, `add` a sum (see `supernet.topology.wire`)."""
    if part.layers[0].kind == "deconv":
        x = apply("refined", inputs[0])
        if len(inputs) == 2:
            x = add(x, apply("raw", inputs[1]))
        x = apply("norm", x)
        outputs = [x]
        rest = part.layers[len(inputs) + 1 :]
        for layer in rest:
            x = apply(layer.name, x)
        return [*outputs, x] if rest else outputs
    x = inputs[0]
    for layer in part.layers:
        x = apply(layer.name, x)
    return [add(x, inputs[0]) if part.is_residual else x]
