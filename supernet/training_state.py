"""Everything that changes during training, to and from a checkpoint."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .checkpoint import load_weights
from .errors import InputError
from .meters import Meters
from .network import Supernet
from .optimizer import FlatGradient
from .optimizer import MovingAverage
from .optimizer import make_optimizer
from .optimizer_state import load_optimizer
from .optimizer_state import optimizer_tensors
from .snapshot import Snapshot
from .snapshot import read_snapshot
from .sorting import sort_channels
from .train_options import OptimizerOptions

# Figures that share the gradient's all-reduce.
EXTRAS = 16


class TrainingState:
    """Weights, their average, optimizer, and the counters.

    Random numbers need no state: batches, augmentation, resolutions and subnets are functions of (seed,
    step).

    Attributes:
        net: the supernet, in training mode.
        ema: its moving average, or None.
        optimizer: its state belongs to `net`'s parameters.
        gradient: the buffer behind all `.grad`.
        meters: figures since the last line of the log.
        step: steps done.
        skipped: steps skipped in all and in a row.
        best: best score by name, with the step that had it.
        channels_sorted: whether the warm-up's channel sorting is done.
    """

    def __init__(self, net: Supernet, options: OptimizerOptions) -> None:
        self.net = net.train()
        self.ema = MovingAverage(net, copy.deepcopy(net), options.ema) if options.ema else None
        self.optimizer = make_optimizer(net, options)
        self.gradient = FlatGradient(net.parameters(), EXTRAS)
        self.meters = Meters()
        self.step = 0
        self.skipped = (0, 0)
        self.best: dict[str, tuple[float, int]] = {}
        self.channels_sorted = False

    @property
    def averaged(self) -> Supernet:
        """The network to validate and to keep."""
        if self.ema is None:
            return self.net
        assert isinstance(self.ema.net, Supernet)
        return self.ema.net

    def is_finite(self) -> bool:
        """Whether all weights are finite numbers."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.net.parameters())

    def sort_channels(self) -> None:
        """Order the channels of the network by importance, and all that mirrors it in the same way."""
        permutations = sort_channels(self.net)
        if self.ema is not None:
            permutations.apply(dict(self.ema.net.named_parameters()))
        for kind in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
            named = {name: self.optimizer.state[p] for name, p in self.net.named_parameters()}
            permutations.apply({name: state[kind] for name, state in named.items() if kind in state})
        self.channels_sorted = True

    def snapshot(self, config: Mapping[str, Any]) -> Snapshot:
        """The state as a checkpoint of the run with these settings."""
        tensors = {f"model.{name}": value for name, value in self.net.named_parameters()}
        if self.ema is not None:
            tensors |= {f"ema.{name}": value for name, value in self.ema.net.named_parameters()}
        meta = {
            "version": __version__,
            "step": self.step,
            "space": self.net.space.to_dict(),
            "num_joints": self.net.num_joints,
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
            InputError: it is damaged, or of another space or version.
        """
        snapshot = read_snapshot(path)
        meta = snapshot.meta
        load_weights(self.net, snapshot.part("model"), meta, path)
        if self.ema is not None:
            average = snapshot.part("ema")
            if not average:
                raise InputError(f"checkpoint {path} has no moving average; set train.optimizer.ema=0")
            assert isinstance(self.ema.net, Supernet)
            load_weights(self.ema.net, average, meta, path)
        load_optimizer(self.net, self.optimizer, snapshot.tensors)
        self.meters = Meters(meta["meters"])
        self.step = int(meta["step"])
        self.skipped = (int(meta["skipped"][0]), int(meta["skipped"][1]))
        self.best = {name: (float(score), int(step)) for name, (score, step) in meta["best"].items()}
        self.channels_sorted = bool(meta["channels_sorted"])
