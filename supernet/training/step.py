"""One training step's forward and backward passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..data.batch import Batch, normalise
from ..data.targets import Targets
from ..family import Architecture
from ..heads.contract import Head
from ..heads.losses import PoseLoss
from ..sampling import Sampled
from .options import PrecisionOptions

Forward = Callable[[Tensor, Architecture], list[Tensor]]


# Normalised images (B, 3, H, W) and what the outputs for them are to be.
Part = tuple[Tensor, Targets]


def chunks(batch: Batch, head: Head, count: int, precision: PrecisionOptions, sigma: float) -> Iterator[Part]:
    """Cut a batch into `count` equal parts along the images, with the targets of `head`.

    Args:
        batch: of this rank.
        head: of the network.
        count: divides the number of images.
        precision: says the memory format.
        sigma: of the Gaussians, in pixels of each map.
    """
    memory_format = torch.channels_last if precision.channels_last else torch.contiguous_format
    size = len(batch.images) // count
    targets = head.targets(batch, sigma)
    for start in range(0, size * count, size):
        rows = slice(start, start + size)
        images = normalise(batch.images[rows]).contiguous(memory_format=memory_format)
        yield images, targets.rows(rows)


def backward_all(
    forward: Forward,
    subnets: Sequence[Sampled],
    parts: Sequence[Part],
    loss: PoseLoss,
    *,
    bf16: bool = False,
    teacher: Forward | None = None,
) -> dict[str, Tensor]:
    """Add the gradients of every subnet's loss, each the mean over `parts`, to the parameters' `.grad`.

    Each subnet's graph is freed before the next one runs.

    Args:
        forward: runs a subnet.
        subnets: one of role "largest" learns from the ground truth alone; those after it are also distilled
            from its detached heatmaps.
        parts: the batch in equal parts.
        loss: of one subnet's outputs.
        bf16: run the network under bfloat16 autocast.
        teacher: what every subnet is distilled from, instead of the largest's own outputs of this step.

    Returns:
        detached scalars: `loss` (the sum over subnets), `loss/<role>` (mean over the role's subnets), and the
        unweighted terms of the first subnet (`distillation`: of the last).
    """
    metrics: dict[str, Tensor] = {}
    roles = [subnet.role for subnet in subnets]
    autocast = torch.autocast(parts[0][0].device.type, torch.bfloat16, enabled=bf16)
    for images, targets in parts:
        with torch.no_grad(), autocast:
            wanted = None if teacher is None else teacher(images, subnets[0].arch)
        for place, subnet in enumerate(subnets):
            with autocast:
                outputs = forward(images, subnet.arch)
            total, terms = loss(outputs, targets, wanted)
            total = total / len(parts)
            total.backward()  # type: ignore[no-untyped-call]
            if teacher is None and subnet.role == "largest":
                wanted = [output.detach() for output in outputs]
            shares = {
                "loss": total.detach(),
                f"loss/{subnet.role}": total.detach() / roles.count(subnet.role),
            }
            if place == 0:
                shares |= {name: term / len(parts) for name, term in terms.items()}
            if place == len(subnets) - 1 and "distillation" in terms:
                shares["distillation"] = terms["distillation"] / len(parts)
            for name, value in shares.items():
                metrics[name] = metrics[name] + value if name in metrics else value
    return metrics
