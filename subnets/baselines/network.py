"""What every comparison network offers beside its layers, the same as `subnets.network.Subnet`."""

from __future__ import annotations

from typing import Any
from typing import ClassVar

import torch
from torch import Tensor
from torch import nn

from supernet.errors import InputError
from supernet.pose.skeletons import Skeleton

from ..input_shape import check_input_shape
from ..meta import default_skeleton
from .arch import StaticArch
from .units import ConvUnit
from .units import UnitOptions


class StaticNetwork(nn.Module):
    """A network that is described by a `StaticArch`; families derive from it.

    Args:
        arch: the description.
        num_joints: J.
        fused: whether the batch norms are folded into the convolutions.

    Attributes:
        arch, num_joints, fused: as given.
        skeleton: the joint layout of the outputs, if known.
        about: facts that travel with the network.
        outputs: what `forward` gives: `embedding` ((B, 2J, H/4, W/4) heatmaps and tags and (B, J, H/2, W/2)
            heatmaps, as a LitePose network), `heatmaps` ((B, J, H/4, W/4)), or `fields` (heatmaps and part
            affinity fields at 1/8).
        layout: the joint layout that the family is bound to, if it is.
    """

    outputs: ClassVar[str] = "embedding"
    layout: ClassVar[str | None] = None

    @classmethod
    def step_of(cls, arch: StaticArch) -> int:
        """What input sides of the network of `arch` are multiples of.

        Raises:
            InputError: its settings make no network.
        """
        return 32

    def __init__(self, arch: StaticArch, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__()
        self.arch = arch
        self.num_joints = num_joints
        self.fused = fused
        self.skeleton: Skeleton | None = default_skeleton(num_joints)
        self.about: dict[str, Any] = {}
        self.options = UnitOptions(fused=fused)
        check_input_shape(arch.input_shape, self.step_of(arch))


def fold_network(net: StaticNetwork) -> StaticNetwork:
    """A copy of `net` in evaluation mode whose batch norms are folded into the convolutions.

    Raises:
        InputError: `net` is fused already.
    """
    if net.fused:
        raise InputError("the network is fused already; fuse the one with batch norms")
    net = net.eval()
    tensors: dict[str, Tensor] = dict(net.state_dict())
    for name, unit in net.named_modules():
        if isinstance(unit, ConvUnit):
            for key in [key for key in tensors if key.startswith(f"{name}.")]:
                del tensors[key]
            tensors |= {f"{name}.conv.{key}": value for key, value in unit.folded().items()}
    with torch.device("meta"):
        fused = type(net)(net.arch, net.num_joints, fused=True)
    fused.load_state_dict(tensors, assign=True)
    fused.skeleton, fused.about = net.skeleton, dict(net.about)
    return fused.eval()
