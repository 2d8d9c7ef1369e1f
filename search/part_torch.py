"""Parts as torch modules with random weights, batch norms folded: for timing."""

from __future__ import annotations

import torch
from torch import Tensor

from subnets.network import Unit
from supernet.module_tree import ModuleTree

from .parts import Part
from .parts import has_bias
from .parts import wire_part


class PartNet(ModuleTree[Unit]):
    """One part as a plain `nn.Module` in evaluation mode."""

    def __init__(self, part: Part) -> None:
        super().__init__(part.layers, lambda layer: Unit(layer, has_bias(layer), False))
        self.part = part
        self.eval()

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """The part's outputs for its inputs (1, C, H, W) each."""
        return wire_part(self.part, self._apply_unit, torch.add, list(inputs))

    def _apply_unit(self, name: str, x: Tensor) -> Tensor:
        output: Tensor = self.unit(name)(x)
        return output
