"""Initial weights, the same rule for the elastic and the static network."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch import nn

from .topology import Layer
from .topology import closes_branch

# Residual branches start small (Goyal et al., "Accurate, Large Minibatch SGD", 2017, start them at 0), so
# that subnets of different depths begin alike; not 0, so that every block learns from the first step.
BRANCH_SCALE = 0.25


def initialise(
    conv: nn.Module | None, norm: nn.Module | None, layer: Layer, generator: torch.Generator | None = None
) -> None:
    """Fill the weights of a layer's convolution and norm (where it has them) in place.

    Convolutions: He normal by fan-out per group; the outputs by their fan-in. Norms: 1, but `BRANCH_SCALE` at
    the end of a residual branch.
    """
    with torch.no_grad():
        if conv is not None:
            _weight(conv).normal_(0.0, _std(layer), generator=generator)
        if norm is not None:
            _weight(norm).fill_(BRANCH_SCALE if closes_branch(layer) else 1.0)


def _std(layer: Layer) -> float:
    if not layer.norm and layer.kind == "conv":
        # Tags that start equal stay equal (the push loss has no gradient there): outputs start spread out.
        return math.sqrt(1.0 / (3 * layer.in_channels))
    fan_out = layer.out_channels // layer.groups * layer.kernel**2 / layer.stride**2
    return math.sqrt(2.0 / fan_out)


def _weight(module: nn.Module) -> Tensor:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight
