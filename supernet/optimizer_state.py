"""The optimizer's state as named tensors, as checkpoints and channel sorting need it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch import nn

PREFIX = "optimizer."


def optimizer_tensors(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`optimizer.<kind>.<parameter>` for every tensor of the state (kinds: step, exp_avg, exp_avg_sq,
    ...).
    """
    return {
        f"{PREFIX}{kind}.{name}": value
        for name, parameter in net.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer(net: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the state from what `optimizer_tensors` gave; other names are ignored."""
    parameters = dict(net.named_parameters())
    for key, value in tensors.items():
        if key.startswith(PREFIX):
            kind, name = key.removeprefix(PREFIX).split(".", 1)
            parameter = parameters[name]
            optimizer.state[parameter][kind] = value.to(parameter.device)
