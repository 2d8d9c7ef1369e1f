"""Channels sorted by importance, so that the first ones, which narrower subnets keep, matter most.

Source: Cai et al., "Once-for-All", ICLR 2020, section 3.3 (elastic width). Importance is the L1 norm of a
channel's weights summed over all its consumers: the convolutions and transposed convolutions that mix it
into their outputs. A depthwise convolution or a norm passes channels on and belongs to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .family import Architecture, trace
from .heads.contract import with_each_head
from .network import Supernet
from .space import SearchSpace

Axis = tuple[str, int]  # a tensor's name and the axis on which it holds the channels
_NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


@dataclass(eq=False)
class ChannelGroup:
    """Channels that must be permuted together.

    Attributes:
        members: every tensor axis that holds these channels.
        consumers: those of them whose layer mixes the channels into others.
        fixed: whether the order has a meaning outside the network (image colours, joints).
    """

    members: list[Axis] = field(default_factory=list)
    consumers: list[Axis] = field(default_factory=list)
    fixed: bool = False

    def absorb(self, other: ChannelGroup) -> None:
        """Take over the members of `other`, whose channels are added to these."""
        self.members += other.members
        self.consumers += other.consumers
        self.fixed |= other.fixed


def channel_groups(arch: Architecture, num_joints: int) -> list[ChannelGroup]:
    """The groups of tied channels of a network, from its wiring; streams that are added share one group."""
    steps, outputs = trace(arch, num_joints)
    groups = [ChannelGroup(fixed=True)]  # of each value of the wiring
    for layer, inputs in steps:
        group, *others = (groups[value] for value in inputs)
        for other in {*others} - {group}:
            group.absorb(other)
            groups = [group if one is other else one for one in groups]
        if layer is not None:
            weight = f"{layer.name}.conv.weight"
            if layer.kind in ("conv", "deconv"):
                # Weights are (out, in, k, k), those of a transposed convolution (in, out, k, k).
                axis_out, axis_in = (0, 1) if layer.kind == "conv" else (1, 0)
                group.members.append((weight, axis_in))
                group.consumers.append((weight, axis_in))
                group = ChannelGroup([(weight, axis_out)])
            elif layer.kind == "depthwise":
                group.members.append((weight, 0))
            elif layer.kind == "slice":
                # Which channels go where is by their number, which they keep therefore.
                group.fixed = True
                group = ChannelGroup(fixed=True)
            if layer.norm:
                group.members += [(f"{layer.name}.norm.{tensor}", 0) for tensor in _NORM_TENSORS]
        groups.append(group)
    for value in outputs:
        groups[value].fixed = True
    return list(dict.fromkeys(groups))


def space_groups(space: SearchSpace, num_joints: int) -> list[ChannelGroup]:
    """The groups of the largest networks, one with each head: what the heads share is tied to all of them."""
    found: list[ChannelGroup] = []
    for arch in space.decode(with_each_head(space, space.largest())):
        for group in channel_groups(arch, num_joints):
            tied = [other for other in found if {*other.members} & {*group.members}]
            for other in tied:
                group.absorb(other)
            found = [other for other in found if other not in tied] + [group]
    for group in found:
        group.members = list(dict.fromkeys(group.members))
        group.consumers = list(dict.fromkeys(group.consumers))
    return found


@dataclass(frozen=True)
class Permutations:
    """New orders of channels: for a tensor's name, pairs of an axis and the old index of each new channel."""

    orders: Mapping[str, tuple[tuple[int, Tensor], ...]]

    def apply(self, tensors: Mapping[str, Tensor]) -> None:
        """Permute tensors in place: a network's own, or any that mirror them (optimizer moments, averages).

        Args:
            tensors: by the name of the parameter or buffer that each belongs to; names that no order
                concerns are left alone, and so are tensors without axes (step counters).

        Raises:
            ValueError: a tensor has another shape than the parameter of its name; nothing is permuted then.
        """
        jobs = [name for name, tensor in tensors.items() if name in self.orders and tensor.ndim]
        for name in jobs:
            shape = tuple(tensors[name].shape)
            for axis, order in self.orders[name]:
                if axis >= len(shape) or shape[axis] != len(order):
                    raise ValueError(f"{name} {shape}: expected {len(order)} channels on axis {axis}")
        with torch.no_grad():
            for name in jobs:
                tensor, orders = tensors[name], self.orders[name]
                permuted = tensor
                for axis, order in orders:
                    permuted = permuted.index_select(axis, order.to(tensor.device))
                tensor.copy_(permuted)


def importance(group: ChannelGroup, tensors: Mapping[str, Tensor]) -> Tensor:
    """(C,) float64 L1 norm of the weights that consume each channel of `group`."""
    sums = []
    for name, axis in group.consumers:
        weight = tensors[name].detach().double().abs()
        sums.append(weight.sum(dim=[other for other in range(weight.ndim) if other != axis]))
    return torch.stack(sums).sum(dim=0)


def sort_channels(net: Supernet) -> Permutations:
    """Sort all channels of `net` in place by importance, descending; ties keep their order.

    The largest network computes what it did before, up to the rounding of sums in another order. Narrower
    ones change: they now keep the channels that matter most.

    Returns:
        the permutations, to be applied to whatever mirrors the parameters.
    """
    tensors = net.state_dict()
    orders: dict[str, list[tuple[int, Tensor]]] = {}
    for group in space_groups(net.space, net.num_joints):
        if group.fixed:
            continue
        order = importance(group, tensors).argsort(descending=True, stable=True)
        for name, axis in group.members:
            orders.setdefault(name, []).append((axis, order))
    permutations = Permutations({name: tuple(pairs) for name, pairs in orders.items()})
    permutations.apply(tensors)
    return permutations
