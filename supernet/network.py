"""The weight-sharing network: one set of weights that runs as any architecture of its space."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from .errors import InputError
from .family import Architecture, Layer, layers, wire
from .heads.contract import with_each_head
from .layers.elastic import ElasticUnit
from .pose.skeletons import Skeleton
from .space import SearchSpace

M = TypeVar("M", bound=nn.Module)


class ModuleTree(nn.Module, Generic[M]):
    """One module for each layer of a network, registered under the layer's dotted name."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[str, tuple[nn.Module, str]] = {}

    def plant(self, layers: Iterable[Layer], build: Callable[[Layer], M]) -> None:
        """Make the modules.

        Raises:
            InputError: a part of a name is an attribute that all modules have, such as `half`.
        """
        for layer in layers:
            *path, leaf = layer.name.split(".")
            parent: nn.Module = self
            for part in (*path, leaf):
                if hasattr(nn.Module, part):
                    raise InputError(f"layer {layer.name}: torch's modules have a {part!r} of their own")
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = cast(nn.Module, parent._modules[part])
            parent.add_module(leaf, build(layer))
            self._places[layer.name] = (parent, leaf)

    def unit(self, name: str) -> M:
        """The module of the layer `name` (also one that replaced the first)."""
        parent, leaf = self._places[name]
        return cast(M, parent._modules[leaf])


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
            _weight(norm).fill_(BRANCH_SCALE if layer.closes_branch else 1.0)


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


KNOWN_LIMIT = 4096


@lru_cache(maxsize=1024)
def active_layers(arch: Architecture, num_joints: int) -> dict[str, Layer]:
    """The layers of `arch` by name."""
    return {layer.name: layer for layer in layers(arch, num_joints)}


def largest_layers(space: SearchSpace, num_joints: int) -> dict[str, Layer]:
    """The layers by name of the largest networks of a space, one with each head."""
    archs = space.decode(with_each_head(space, space.largest()))
    return {layer.name: layer for arch in archs for layer in layers(arch, num_joints)}


def kernel_choices(space: SearchSpace, num_joints: int) -> dict[str, tuple[int, ...]]:
    """For every layer of the largest network the kernel sizes that it has anywhere in the space.

    Raises:
        InputError: a layer changes in what one set of weights cannot follow.
    """
    known = largest_layers(space, num_joints)
    found = {name: {layer.kernel} for name, layer in known.items()}
    ends = with_each_head(space, space.largest())
    for _, code in (each for end in ends for each in space.neighbours(end)):
        for layer in layers(space.decode(code[None])[0], num_joints):
            full = known.get(layer.name)
            if (
                full is None
                or (layer.kind, layer.norm, layer.stride) != (full.kind, full.norm, full.stride)
                or (layer.kind != "depthwise" and layer.kernel != full.kernel)
            ):
                raise InputError(
                    f"family {space.family}: layer {layer.name} is not a part of the largest network's; "
                    "kinds, strides and norms stay the same, and only depthwise kernels may shrink"
                )
            found[layer.name].add(layer.kernel)
    return {name: tuple(sorted(sizes)) for name, sizes in found.items()}


class Supernet(ModuleTree[ElasticUnit]):
    """All networks of a space in one.

    Depth keeps the first blocks, width the first channels, and smaller kernels are transforms of larger ones.

    Args:
        space: the architectures to hold.
        num_joints: J, the number of joints.
        seed: of the initial weights; None leaves them as they are (to see names and shapes).

    Attributes:
        space, num_joints: as given.
        skeleton: the joints of its outputs, which the subnets taken from it keep; None if nobody said.
    """

    def __init__(self, space: SearchSpace, num_joints: int = 14, seed: int | None = 0) -> None:
        super().__init__()
        self.space = space
        self.num_joints = num_joints
        self.skeleton: Skeleton | None = None
        largest = largest_layers(space, num_joints).values()
        # Architectures found to be members, since a training step asks again and again.
        self._known: set[Architecture] = set()
        kernels = kernel_choices(space, num_joints)
        self.plant(largest, lambda layer: ElasticUnit(layer, kernels[layer.name]))
        if seed is None:
            return
        generator = torch.Generator().manual_seed(seed)
        for layer in largest:
            unit = self.unit(layer.name)
            initialise(unit.conv, unit.norm, layer, generator)

    def forward(self, images: Tensor, arch: Architecture) -> list[Tensor]:
        """Run the subnet `arch`.

        Args:
            images: (B, 3, H, W), normalised, sides multiples of the family's step.
            arch: an architecture of the space; its resolution is not enforced here.

        Returns:
            (B, channels, H/scale, W/scale) each, the outputs that the head of `arch` names, in their order.

        Raises:
            InputError: `arch` is larger than this supernet or not in its space.
        """
        self.require(arch)
        active = active_layers(arch, self.num_joints)
        return wire(arch, lambda name, x: self.unit(name)(x, active[name]), torch.add, images)

    def require(self, arch: Architecture) -> None:
        """Raise InputError unless `arch` is in the space."""
        if arch in self._known:
            return
        self.space.require(arch)
        if len(self._known) >= KNOWN_LIMIT:
            self._known.clear()
        self._known.add(arch)
