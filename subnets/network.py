"""Static networks: plain modules of one architecture, built, extracted from a supernet, folded."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from supernet.errors import InputError
from supernet.family import Activation, Architecture, Layer, family_of, layers, norm_sources, wire
from supernet.layers.elastic import ElasticUnit, rearranged
from supernet.native.functional import activate, batch_norm_act, depthwise_conv2d
from supernet.network import ModuleTree, Supernet, initialise
from supernet.pose.skeletons import Skeleton

NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


class Network(nn.Module):
    """A static network of any family.

    Args:
        arch: the description.
        num_joints: J.
        fused: whether the batch norms are folded into the convolutions (`fuse` makes such a network).

    Attributes:
        arch, num_joints, fused: as given.
        skeleton: the joint layout of the outputs, None until it is assigned: their number says nothing.
        about: values that travel with the network (source, scores), kept by `save` and `load`.
    """

    def __init__(self, arch: Architecture, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__()
        self.arch = arch
        self.num_joints = num_joints
        self.fused = fused
        self.skeleton: Skeleton | None = None
        self.about: dict[str, Any] = {}

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the weights with fresh ones."""
        raise NotImplementedError

    def fold_into(self, fused: Any) -> None:
        """Give `fused`, the same network without batch norms, weights with the same outputs."""
        raise NotImplementedError


class DepthwiseConv2d(nn.Conv2d):
    """A depthwise `nn.Conv2d` with a faster weight gradient on CPU."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / stride, W / stride)."""
        if self.bias is not None:
            return super().forward(input)
        return depthwise_conv2d(input, self.weight, int(self.stride[0]), int(self.padding[0]))


class BatchNorm2d(nn.BatchNorm2d):
    """An `nn.BatchNorm2d` that activates too, in one step where it trains on CPU."""

    def forward(self, input: Tensor, activation: Activation | None = None) -> Tensor:
        """(B, C, H, W), normalised and activated."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return batch_norm_act(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum or 0.0,
            self.eps,
            activation,
        )


class Unit(nn.Module):
    """Convolution, batch norm, activation; either of the first two may be absent."""

    def __init__(self, layer: Layer, bias: bool, norm: bool) -> None:
        super().__init__()
        sizes = (layer.in_channels, layer.out_channels, layer.kernel, layer.stride, layer.padding)
        self.conv: nn.Conv2d | nn.ConvTranspose2d | None = None
        if layer.kind == "conv":
            self.conv = nn.Conv2d(*sizes, bias=bias)
        elif layer.kind == "depthwise":
            self.conv = DepthwiseConv2d(*sizes, groups=layer.groups, bias=bias)
        elif layer.kind == "deconv":
            self.conv = nn.ConvTranspose2d(*sizes, bias=bias)
        self.norm = BatchNorm2d(layer.out_channels) if norm else None
        self.activation, self.layer = layer.activation, layer

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output for its input `x` (B, in, H, W)."""
        x = rearranged(x, self.layer) if self.conv is None else self.conv(x)
        if self.norm is None:
            return activate(x, self.activation)
        output: Tensor = self.norm(x, self.activation)
        return output


class Subnet(Network, ModuleTree[Unit]):
    """One architecture of a family that gives its layers, as a plain `nn.Module`; see `Network`."""

    def __init__(self, arch: Architecture, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__(arch, num_joints, fused)
        found = layers(arch, num_joints)
        # The first of a norm's sources takes its offset.
        biased = {sources[0] for sources in norm_sources(arch, num_joints).values()} if fused else set()
        self.plant(found, lambda layer: Unit(layer, layer.name in biased, layer.norm and not fused))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Run the network.

        Args:
            images: (B, 3, H, W), normalised, sides multiples of the family's step.

        Returns:
            the outputs of its head (of LitePose: (B, 2J, H/4, W/4), J heatmaps then J tags, and
            (B, J, H/2, W/2), J heatmaps).
        """
        return wire(self.arch, self._apply_unit, torch.add, images)

    def _apply_unit(self, name: str, x: Tensor) -> Tensor:
        output: Tensor = self.unit(name)(x)
        return output

    def initialise(self, generator: torch.Generator) -> None:
        """See `supernet.network.initialise`."""
        for layer in layers(self.arch, self.num_joints):
            unit = self.unit(layer.name)
            initialise(unit.conv, unit.norm, layer, generator)

    def fold_into(self, fused: Subnet) -> None:
        """Every norm becomes a factor on the weights and a bias of the convolution before it; those that
        follow a sum go into all that is added (the bias into the first).
        """
        with torch.no_grad():
            for layer in layers(self.arch, self.num_joints):
                source, target = self.unit(layer.name).conv, fused.unit(layer.name).conv
                if source is not None and target is not None:
                    target.weight.copy_(source.weight)
            for name, sources in norm_sources(self.arch, self.num_joints).items():
                norm = self.unit(name).norm
                assert norm is not None
                _fold(norm, [fused.unit(source).conv for source in sources])


def empty_network(arch: Architecture, num_joints: int, fused: bool = False) -> Network:
    """The static network of `arch` with whatever weights torch gives it."""
    kind: type[Network] = family_of(arch).network or Subnet
    return kind(arch, num_joints, fused)


def build(arch: Architecture, num_joints: int = 14, seed: int = 0) -> Network:
    """The static network of `arch` with fresh weights from `seed`."""
    net = empty_network(arch, num_joints)
    net.initialise(torch.Generator().manual_seed(seed))
    return net


def extract(net: Supernet, arch: Architecture) -> Subnet:
    """The subnet `arch` of `net` as a static network in `net`'s training or evaluation mode.

    Kernel transforms are baked into plain weights; batch-norm statistics are copied as they are, so calibrate
    first.

    Raises:
        InputError: `arch` is not in the supernet's space.
    """
    net.require(arch)
    reference = next(net.parameters())
    subnet = Subnet(arch, net.num_joints).to(device=reference.device, dtype=reference.dtype)
    subnet.skeleton = net.skeleton
    with torch.no_grad():
        for layer in layers(arch, net.num_joints):
            copy_unit(net.unit(layer.name), subnet.unit(layer.name), layer)
    return subnet.train(net.training)


def copy_unit(source: ElasticUnit, target: Unit, layer: Layer) -> None:
    """Copy what `layer` uses of the elastic `source` into the plain `target`."""
    if source.conv is not None and target.conv is not None:
        target.conv.weight.copy_(source.conv.active_weight(layer))
    if source.norm is not None and target.norm is not None:
        for name in NORM_TENSORS:
            getattr(target.norm, name).copy_(getattr(source.norm, name)[: layer.out_channels])


def fuse(net: Network) -> Network:
    """A copy of `net` without batch norms, in evaluation mode: equal to `net` there up to rounding.

    Raises:
        InputError: `net` is fused already.
    """
    if net.fused:
        raise InputError("the network is fused already; fuse the one with batch norms")
    reference = next(net.parameters())
    fused = empty_network(net.arch, net.num_joints, fused=True)
    fused.to(device=reference.device, dtype=reference.dtype)
    fused.skeleton, fused.about = net.skeleton, dict(net.about)
    net.fold_into(fused)
    return fused.eval()


def fused_network(net: Network) -> Network:
    """`net`, or where its batch norms are not folded yet, a copy in which they are."""
    return net if net.fused else fuse(net)


def weights_digest(net: Network) -> str:
    """SHA-256 over the names and bytes of all tensors."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(name.encode())
        # As bytes: numpy knows no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fold(norm: nn.BatchNorm2d, convs: list[nn.Conv2d | nn.ConvTranspose2d | None]) -> None:
    scale, shift = scale_and_shift(norm)
    for index, conv in enumerate(convs):
        assert conv is not None
        # The output channels of a transposed convolution are its weight's second axis.
        shape = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
        conv.weight.copy_(conv.weight.double() * scale.view(shape))
        if index == 0:
            assert conv.bias is not None
            conv.bias.copy_(shift)


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """(C,) float64 factors and offsets: `norm(x)` in evaluation mode is `x * scale + shift`."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale
