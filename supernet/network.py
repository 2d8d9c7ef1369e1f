"""The weight-sharing network: one set of weights that runs as any architecture of its space."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .arch import Arch
from .initialise import initialise
from .layers.unit import ElasticUnit
from .module_tree import ModuleTree
from .space import SearchSpace
from .topology import Layer
from .topology import layers
from .topology import wire

KNOWN_LIMIT = 4096


@lru_cache(maxsize=1024)
def active_layers(arch: Arch, num_joints: int) -> dict[str, Layer]:
    """The layers of `arch` by name."""
    return {layer.name: layer for layer in layers(arch, num_joints)}


class Supernet(ModuleTree[ElasticUnit]):
    """All networks of a space in one.

    Depth keeps the first blocks, width the first channels, and smaller kernels are transforms of larger ones.

    Args:
        space: the architectures to hold.
        num_joints: J, the number of joints.
        seed: of the initial weights.
    """

    def __init__(self, space: SearchSpace, num_joints: int = 14, seed: int = 0) -> None:
        self.space = space
        self.num_joints = num_joints
        largest = layers(space.largest(), num_joints)
        # Architectures found to be members, since a training step asks again and again.
        self._known: set[Arch] = set()
        super().__init__(largest, self._build)
        generator = torch.Generator().manual_seed(seed)
        for layer in largest:
            unit = self.unit(layer.name)
            initialise(unit.conv, unit.norm, layer, generator)

    def _build(self, layer: Layer) -> ElasticUnit:
        return ElasticUnit(layer, self._kernels(layer))

    def _kernels(self, layer: Layer) -> tuple[int, ...]:
        group, *rest = layer.name.split(".")
        if group == "stages" and layer.kind == "depthwise":
            return self.space.stages[int(rest[0])].kernel
        return (layer.kernel,)

    def forward(self, images: Tensor, arch: Arch) -> list[Tensor]:
        """Run the subnet `arch`.

        Args:
            images: (B, 3, H, W), normalised, sides multiples of 16.
            arch: an architecture of the space; its resolution is not enforced here.

        Returns:
            (B, 2J, H/4, W/4), J heatmaps then J tags, and (B, J, H/2, W/2), J heatmaps.

        Raises:
            InputError: `arch` is larger than this supernet or not in its space.
        """
        self.require(arch)
        active = active_layers(arch, self.num_joints)
        return wire(arch, lambda name, x: self.unit(name)(x, active[name]), torch.add, images)

    def require(self, arch: Arch) -> None:
        """Raise InputError unless `arch` is in the space."""
        if arch in self._known:
            return
        self.space.require(arch)
        if len(self._known) >= KNOWN_LIMIT:
            self._known.clear()
        self._known.add(arch)
