"""A subnet taken out of the supernet as a plain network with the same outputs, bit for bit."""

from __future__ import annotations

import torch

from supernet.family import Architecture, Layer, layers
from supernet.layers.elastic import ElasticUnit
from supernet.network import Supernet

from .network import Subnet, Unit

NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


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
    subnet.skeleton = net.skeleton or subnet.skeleton
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
