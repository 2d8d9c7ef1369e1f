"""Multiply-accumulates and parameters of any module, counted where it runs without computing (meta tensors).

The same two conventions as `supernet.cost`; on a LitePose network both agree with its closed forms.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import nn

from supernet.cost import Convention

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# `litepose` counts one per output element of these; SiLU and sigmoid it does not know.
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.ELU)


@dataclass(frozen=True)
class ModuleCost:
    """What one image costs.

    Attributes:
        params: trainable parameters.
        exact: multiply-accumulates of convolutions, transposed convolutions and linear layers.
        litepose: by the LitePose paper's counting.
    """

    params: int
    exact: int
    litepose: int

    def macs(self, convention: Convention) -> int:
        """MACs by name of the convention."""
        return self.exact if convention == "exact" else self.litepose


def module_cost(net: nn.Module, input_shape: tuple[int, int]) -> ModuleCost:
    """The cost of `net` for one image of `input_shape` (height, width); `net` is left as it is."""
    params = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    counts = {"exact": 0, "litepose": 0}

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        if isinstance(module, nn.Linear):
            counts["exact"] += module.in_features * output.numel()
            counts["litepose"] += module.in_features * output.numel()
        elif isinstance(module, CONVOLUTIONS):
            per_output = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose2d):
                # A transposed convolution multiplies each INPUT element by its whole kernel.
                counts["exact"] += per_output * inputs[0].numel()
                per_output = module.in_channels // module.groups * module.weight[0, 0].numel()
            else:
                counts["exact"] += per_output * output.numel()
            counts["litepose"] += per_output * output.numel()
        elif isinstance(module, nn.BatchNorm2d):
            counts["litepose"] += 2 * output.numel()
        elif isinstance(module, ACTIVATIONS):
            counts["litepose"] += output.numel()

    shadow = copy.deepcopy(net).to("meta").eval()
    for module in shadow.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        shadow(torch.empty(1, 3, *input_shape, device="meta"))
    return ModuleCost(params, counts["exact"], counts["litepose"])
