"""How a training step calls the supernet: as it is, or compiled for the subnets that every step runs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .arch import Arch
from .network import Supernet
from .step import Forward
from .train_options import PrecisionOptions


def make_forward(net: Supernet, options: PrecisionOptions) -> Forward:
    """The function that runs a subnet in training.

    With `options.compile`, the largest and the smallest architecture are compiled, once per input shape;
    random ones run eagerly, since each would compile anew.
    """
    return CompiledEnds(net) if options.compile else net


class CompiledEnds:
    """Runs the largest and the smallest subnet compiled, at every resolution, and the others eagerly."""

    def __init__(self, net: Supernet) -> None:
        self._net = net
        ends = (net.space.largest(), net.space.smallest())
        self._compiled = {self._key(arch): compiled(net, arch) for arch in ends}

    def __call__(self, images: Tensor, arch: Arch) -> list[Tensor]:
        """Run `arch` on `images` (B, 3, H, W)."""
        return self._compiled.get(self._key(arch), self._eager)(images, arch)

    def _eager(self, images: Tensor, arch: Arch) -> list[Tensor]:
        heads: list[Tensor] = self._net(images, arch)
        return heads

    def _key(self, arch: Arch) -> Arch:
        return replace(arch, resolution=self._net.space.resolution[0])


def compiled(net: Supernet, arch: Arch) -> Forward:
    """The subnet `arch` compiled; the architecture that it is called with is not looked at."""
    run = torch.compile(lambda images: net(images, arch), dynamic=False)
    return lambda images, _: list(run(images))
