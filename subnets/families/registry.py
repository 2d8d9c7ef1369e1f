"""The families of comparison networks, and how a description becomes a network."""

from __future__ import annotations

import math

import torch
from torch import nn

from supernet.errors import InputError
from supernet.network import BRANCH_SCALE

from .efficienthrnet import EfficientHRNet, MBConv
from .hrnet import HigherHRNet
from .lightweight_openpose import LightweightOpenPose
from .lpn import LPN, GlobalContext
from .static import StaticArch, StaticNetwork
from .units import ConvUnit, Residual

FAMILIES: dict[str, type[StaticNetwork]] = {
    "higherhrnet": HigherHRNet,
    "efficienthrnet": EfficientHRNet,
    "lightweight-openpose": LightweightOpenPose,
    "lpn": LPN,
}

# Of the last weights of global context at the start.
CONTEXT_SCALE = 0.1


def family_of(arch: StaticArch) -> type[StaticNetwork]:
    """The class of `arch`'s family.

    Raises:
        InputError: there is no such family.
    """
    if arch.family not in FAMILIES:
        raise InputError(f"family {arch.family!r} is not known; choose from {', '.join(FAMILIES)}")
    return FAMILIES[arch.family]


def build_static(arch: StaticArch, num_joints: int = 14, seed: int = 0) -> StaticNetwork:
    """The network of `arch` with fresh weights from `seed`.

    Raises:
        InputError: its family or settings are not known.
    """
    net = family_of(arch)(arch, num_joints)
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, ConvUnit):
            _initialise(module, generator)
    for module in net.modules():
        if isinstance(module, Residual) or (isinstance(module, MBConv) and module.adds):
            _calm(module)
        elif isinstance(module, GlobalContext):
            # The reference starts it at 0; its layer norm magnifies what is left of an almost even mean.
            with torch.no_grad():
                module.excite.conv.weight.mul_(CONTEXT_SCALE)
    return net


def _calm(block: Residual | MBConv) -> None:
    """Let a residual branch start small, by its last norm: deep random networks magnify rounding else."""
    *_, last = (unit for unit in block.body.modules() if isinstance(unit, ConvUnit) and unit.norm is not None)
    assert last.norm is not None
    nn.init.constant_(last.norm.weight, BRANCH_SCALE)


def _initialise(unit: ConvUnit, generator: torch.Generator) -> None:
    """He normal by fan-in with an activation, else unit gain; outputs spread out, as our own networks'."""
    conv = unit.conv
    inputs = conv.in_channels // conv.groups * conv.kernel_size[0] ** 2
    if isinstance(conv, nn.ConvTranspose2d):
        inputs //= conv.stride[0] ** 2
    gain = 2.0 if unit.act is not None else 1.0
    with torch.no_grad():
        conv.weight.normal_(0.0, math.sqrt(gain / inputs), generator=generator)
        if conv.bias is not None:
            conv.bias.zero_()
