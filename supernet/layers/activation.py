"""The two activations of the network, by name."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from ..topology import Activation


def activate(x: Tensor, activation: Activation | None, inplace: bool = False) -> Tensor:
    """`x` after ReLU6, ReLU or nothing."""
    if activation == "relu6":
        return F.relu6(x, inplace=inplace)
    if activation == "relu":
        return F.relu(x, inplace=inplace)
    return x
