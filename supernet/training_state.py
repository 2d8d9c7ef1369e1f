"""Everything that changes during training, to and from a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Generic
from typing import TypeVar

import torch
from torch import nn

from . import __version__
from .compatibility import load_weights
from .errors import InputError
from .meters import Meters
from .optimizer import FlatGradient
from .optimizer import MovingAverage
from .optimizer import make_optimizer
from .optimizer_state import load_optimizer
from .optimizer_state import optimizer_tensors
from .snapshot import Snapshot
from .snapshot import read_snapshot
from .train_options import OptimizerOptions

M = TypeVar("M", bound=nn.Module)

# Figures that share the gradient's all-reduce.
EXTRAS = 16


class TrainingState(Generic[M]):
    """Weights, their average, optimizer, and the counters.

    Random numbers need no state: batches, augmentation, resolutions and subnets are functions of (seed,
    step).

    Args:
        net: what to train; it is put into training mode.
        options: of the optimizer.
        about: what the network is (space or arch, num_joints), for the checkpoint's description.

    Attributes:
        ema: the moving average of `net`, or None.
        optimizer: its state belongs to `net`'s parameters.
        gradient: the buffer behind all `.grad`.
        meters: figures since the last line of the log.
        step: steps done.
        skipped: steps skipped in all and in a row.
        best: best score by name, with the step that had it.
        channels_sorted: whether the warm-up's channel sorting is done.
    """

    def __init__(self, net: M, options: OptimizerOptions, about: Mapping[str, Any]) -> None:
        self.net = net.train()
        self.about = dict(about)
        self.ema = MovingAverage(net, copy.deepcopy(net), options.ema) if options.ema else None
        self.optimizer = make_optimizer(net, options)
        self.gradient = FlatGradient(net.parameters(), EXTRAS)
        self.meters = Meters()
        self.step = 0
        self.skipped = (0, 0)
        self.best: dict[str, tuple[float, int]] = {}
        self.channels_sorted = False

    @property
    def averaged(self) -> M:
        """The network to validate and to keep."""
        return self.net if self.ema is None else self.ema.net

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.net.parameters())

    def snapshot(self, config: Mapping[str, Any]) -> Snapshot:
        """The state as a checkpoint of the run with these settings."""
        tensors = {f"model.{name}": value for name, value in self.net.named_parameters()}
        if self.ema is not None:
            tensors |= {f"ema.{name}": value for name, value in self.ema.net.named_parameters()}
        meta = {
            "version": __version__,
            "step": self.step,
            **self.about,
            "config": dict(config),
            "meters": self.meters.state(),
            "skipped": list(self.skipped),
            "best": {name: list(entry) for name, entry in self.best.items()},
            "channels_sorted": self.channels_sorted,
        }
        return Snapshot({**tensors, **optimizer_tensors(self.net, self.optimizer)}, meta)

    def restore(self, path: Path) -> None:
        """Take up the state in a checkpoint file.

        Raises:
            InputError: it is damaged, or of another network or version.
        """
        snapshot = read_snapshot(path)
        meta = snapshot.meta
        load_weights(self.net, self.about, snapshot.part("model"), meta, path)
        if self.ema is not None:
            average = snapshot.part("ema")
            if not average:
                raise InputError(f"checkpoint {path} has no moving average; set train.optimizer.ema=0")
            load_weights(self.ema.net, self.about, average, meta, path)
        load_optimizer(self.net, self.optimizer, snapshot.tensors)
        self.meters = Meters(meta["meters"])
        self.step = int(meta["step"])
        self.skipped = (int(meta["skipped"][0]), int(meta["skipped"][1]))
        self.best = {name: (float(score), int(step)) for name, (score, step) in meta["best"].items()}
        self.channels_sorted = bool(meta["channels_sorted"])
