"""Initial weights, the same rule for the elastic and the static network."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .topology import Layer

# The last 1x1 convolutions have no batch norm: a small scale starts the heatmaps near zero (as HigherHRNet
# does).
OUTPUT_STD = 0.001


def initialise(weight: Tensor, layer: Layer, generator: torch.Generator | None = None) -> None:
    """Fill a convolution weight in place: He normal by fan-out per group, small for the outputs."""
    if not layer.norm and layer.kind == "conv":
        std = OUTPUT_STD
    else:
        fan_out = layer.out_channels // layer.groups * layer.kernel**2 / layer.stride**2
        std = math.sqrt(2.0 / fan_out)
    with torch.no_grad():
        weight.normal_(0.0, std, generator=generator)
