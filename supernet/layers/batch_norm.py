"""Elastic batch norm: the first channels of shared statistics, weights and biases."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import nn

from ..topology import Activation
from .norm_act import batch_norm_act


class ElasticBatchNorm2d(nn.Module):
    """Batch norm over the first C of `num_features` channels, C being what comes in.

    Training uses batch statistics and leaves the running ones alone: those of one subnet are not those of
    another, so they are set by calibration, which gives `momentum` a value for as long as it runs.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum: float | None = None
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def reset_running_stats(self) -> None:
        """Mean 0 and variance 1, as `nn.BatchNorm2d` does."""
        self.running_mean.zero_()
        self.running_var.fill_(1)

    def forward(self, x: Tensor, activation: Activation | None = None) -> Tensor:
        """(B, C, H, W) normalised over B, H, W in training, by the running statistics in evaluation; then
        activated.
        """
        channels = x.shape[1]
        updates = self.training and self.momentum is not None
        reads = not self.training
        return batch_norm_act(
            x,
            self.running_mean[:channels] if updates or reads else None,
            self.running_var[:channels] if updates or reads else None,
            self.weight[:channels],
            self.bias[:channels],
            training=self.training,
            momentum=self.momentum if self.momentum is not None else 0.0,
            eps=self.eps,
            activation=activation,
        )
