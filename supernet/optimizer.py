"""The optimizer: parameter groups, one flat gradient, the learning rate of a step, and the moving average."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Generic
from typing import TypeVar

import torch
from torch import Tensor
from torch import nn

from .train_options import OptimizerOptions

M = TypeVar("M", bound=nn.Module)


def learning_rate(options: OptimizerOptions, step: int, total: int) -> float:
    """Learning rate of `step` (from 0) of `total`: linear warm-up, then cosine to `final` of the peak."""
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    if options.schedule == "constant":
        return options.lr
    progress = (step - options.warmup) / max(1, total - options.warmup)
    return options.lr * (
        options.final + (1 - options.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    )


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: not to batch norms and biases, nor to transforms, whose rest is the
    identity.
    """
    return parameter.ndim > 1 and ".transforms." not in name


def make_optimizer(net: nn.Module, options: OptimizerOptions) -> torch.optim.Optimizer:
    """The optimizer of `net`'s parameters, in two groups: with and without weight decay."""
    named = list(net.named_parameters())
    groups = [
        {"params": [p for n, p in named if decays(n, p)], "weight_decay": options.weight_decay},
        {"params": [p for n, p in named if not decays(n, p)], "weight_decay": 0.0},
    ]
    # A tensor as learning rate would not be kept bit-equal through a checkpoint; it is set anew each step
    # anyway.
    if options.name == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.betas[0], nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, fused=True)


class FlatGradient:
    """All gradients in one buffer: every `parameter.grad` is a view of it.

    One all-reduce, one norm and one scaling serve all parameters; a subnet that leaves some without a
    gradient leaves zeros there. The buffer ends in `extras` further values that are summed over the ranks
    in the same go.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], extras: int) -> None:
        params = list(parameters)
        self._size = sum(p.numel() for p in params)
        self.buffer = torch.zeros(self._size + extras, device=params[0].device)
        start = 0
        for parameter in params:
            parameter.grad = self.buffer[start : start + parameter.numel()].view(parameter.shape)
            start += parameter.numel()

    @property
    def gradient(self) -> Tensor:
        """The gradient of all parameters, flat."""
        return self.buffer[: self._size]

    @property
    def extras(self) -> Tensor:
        """The values beside the gradient."""
        return self.buffer[self._size :]

    def zero(self) -> None:
        """Start a new step."""
        self.buffer.zero_()

    def clip(self, largest: float) -> Tensor:
        """Scale the gradient down to the norm `largest` (0: leave it); its norm before, a scalar tensor."""
        norm: Tensor = torch.linalg.vector_norm(self.gradient)
        if largest:
            self.gradient.mul_((largest / (norm + 1e-6)).clamp(max=1.0))
        return norm


class MovingAverage(Generic[M]):
    """Exponential moving average of a network's parameters, kept in a second network.

    The decay grows from 0 as (1 + n) / (10 + n), so that the average is useful early.

    Attributes:
        net: the averaged network.
    """

    def __init__(self, source: M, net: M, decay: float) -> None:
        self.net = net.requires_grad_(False)
        self._decay = decay
        self._pairs = list(zip(net.parameters(), source.parameters(), strict=True))
        self.restart()

    def restart(self) -> None:
        """Take the source's weights as they are."""
        for mine, theirs in self._pairs:
            mine.data.copy_(theirs.data)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the source after `step` (from 0)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        mine, theirs = zip(*self._pairs, strict=True)
        torch._foreach_lerp_(list(mine), list(theirs), 1 - decay)
