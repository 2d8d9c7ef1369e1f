"""Batch-norm calibration: the running statistics of one subnet, recomputed from images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .family import Architecture
from .layers.elastic import ElasticBatchNorm2d
from .network import Supernet

Norm = ElasticBatchNorm2d | nn.BatchNorm2d


@contextmanager
def _collecting(net: nn.Module) -> Iterator[list[Norm]]:
    """Norms in training mode and everything else as it was; modes and momenta are restored at the end."""
    norms: list[Norm] = [m for m in net.modules() if isinstance(m, ElasticBatchNorm2d | nn.BatchNorm2d)]
    before = [(norm.training, norm.momentum) for norm in norms]
    try:
        for norm in norms:
            norm.train()
        yield norms
    finally:
        for norm, (training, momentum) in zip(norms, before, strict=True):
            norm.train(training)
            norm.momentum = momentum


def calibrate_by(net: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]) -> int:
    """Set the running statistics of `net`'s batch norms to the averages over `batches`.

    Every batch weighs the same; the statistics do not depend on what they were before.

    Args:
        net: the module whose norms are set.
        forward: runs `net` on images (B, 3, H, W).
        batches: normalised images without augmentation, from the training split.

    Returns:
        the number of batches seen.

    Raises:
        ValueError: there is no batch.
    """
    count = 0
    with torch.no_grad(), _collecting(net) as norms:
        for images in batches:
            if not count:
                # Momentum 1 alone would keep a NaN of before.
                for norm in norms:
                    norm.reset_running_stats()
            count += 1
            for norm in norms:
                norm.momentum = 1.0 / count
            forward(images)
    if not count:
        raise ValueError("calibration needs at least one batch of images")
    return count


def calibrate(net: Supernet, arch: Architecture, batches: Iterable[Tensor]) -> int:
    """Calibrate the subnet `arch` of a supernet; see `calibrate_by`."""
    return calibrate_by(net, lambda images: net(images, arch), batches)
