"""Everything that changes in training (optimizer, gradient, moving average), to a checkpoint and back."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from .. import __version__
from ..errors import InputError
from ..runs.log import Meters
from ..runs.snapshot import Snapshot, load_weights, read_snapshot
from .options import OptimizerOptions

M = TypeVar("M", bound=nn.Module)


def learning_rate(options: OptimizerOptions, step: int, total: int) -> float:
    """Learning rate of `step` (from 0) of `total`: linear warm-up, then cosine to `final` of the peak.

    With `restart` both run twice: up to that step, and from there to the end.
    """
    if step < options.restart:
        total = min(total, options.restart)
    elif options.restart:
        step, total = step - options.restart, total - options.restart
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    if options.schedule == "constant":
        return options.lr
    progress = (step - options.warmup) / max(1, total - options.warmup)
    return options.lr * (
        options.final + (1 - options.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    )


def make_optimizer(net: nn.Module, options: OptimizerOptions) -> torch.optim.Optimizer:
    """The optimizer of `net`'s parameters, in groups: with and without weight decay, head and backbone.

    Batch norms, biases and what a module calls its `undecayed` parameters have none. A group's `share` is
    what it gets of the learning rate; what gets none has no gradient either.

    Raises:
        InputError: `options.backbone` tells the backbone from a head that this network does not have, or
            `options.freeze` names no layer of it, or all.
    """
    parameters = dict(net.named_parameters())
    names = list(parameters)
    if options.backbone != 1 and not any(name.startswith("head") for name in names):
        raise InputError(
            f"train.optimizer.backbone={options.backbone:g} needs a network with a head of its own, and no "
            "layer of this one is named so; leave it out"
        )
    frozen = _frozen(names, options.freeze)
    # A supernet may have several heads: head, head_onestage.
    learning = [name for name in names if name not in frozen]
    heads = [name for name in learning if name.startswith("head")]
    parts = [(heads, 1.0), ([name for name in learning if name not in heads], options.backbone)]
    spared = {id(p) for module in net.modules() for p in getattr(module, "undecayed", tuple)()}
    groups = list[dict[str, Any]]()
    for chosen, share in [*parts, *([(frozen, 0.0)] if frozen else [])]:
        mine = [parameters[name] for name in chosen]
        for parameter in mine:
            parameter.requires_grad_(share > 0)
        for decays in (True, False):
            some = [p for p in mine if decays == (p.ndim > 1 and id(p) not in spared)]
            decay = options.weight_decay if decays else 0.0
            groups.append({"params": some, "weight_decay": decay, "share": share})
    # A tensor as learning rate would not be kept bit-equal through a checkpoint; it is set anew each step
    # anyway.
    if options.name == "sgd":
        return torch.optim.SGD(groups, lr=options.lr, momentum=options.betas[0], nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, fused=True)


def _frozen(names: Sequence[str], starts: Iterable[str]) -> list[str]:
    """Those of the parameters `names` whose layers begin with one of `starts`, part by part of the name."""
    found: list[str] = []
    for start in starts:
        mine = [name for name in names if f"{name}.".startswith(f"{start.rstrip('.')}.")]
        if not mine:
            parts = ", ".join(sorted({name.split(".")[0] for name in names}))
            raise InputError(
                f"train.optimizer.freeze: no layer's name begins with {start}; there are {parts}"
            )
        found += [name for name in mine if name not in found]
    if len(found) == len(names):
        raise InputError(f"train.optimizer.freeze=[{','.join(starts)}] leaves nothing to train")
    return found


class FlatGradient:
    """All gradients in one buffer: every `parameter.grad` is a view of it.

    One all-reduce, one norm and one scaling serve all parameters; a subnet that leaves some without a
    gradient leaves zeros there. The buffer may end in further values (see `attach`) that are summed over
    the ranks in the same go.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._params = list(parameters)
        self._size = sum(p.numel() for p in self._params)
        self._use(torch.zeros(self._size, device=self._params[0].device))

    def _use(self, buffer: Tensor) -> None:
        self.buffer = buffer
        start = 0
        for parameter in self._params:
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

    def attach(self, values: Tensor) -> None:
        """Put (n,) values behind the gradient; the buffer grows if it has no room for them."""
        missing = len(values) - len(self.extras)
        if missing > 0:
            self._use(torch.cat([self.buffer, self.buffer.new_zeros(missing)]))
        self.extras[: len(values)] = values

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


PREFIX = "optimizer."


def optimizer_tensors(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """`optimizer.<kind>.<parameter>` for every tensor of the state (kinds: step, exp_avg, exp_avg_sq,
    ...).
    """
    return {
        f"{PREFIX}{kind}.{name}": value
        for name, parameter in net.named_parameters()
        for kind, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer(net: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Set the state from what `optimizer_tensors` gave; other names are ignored."""
    parameters = dict(net.named_parameters())
    for key, value in tensors.items():
        if key.startswith(PREFIX):
            kind, name = key.removeprefix(PREFIX).split(".", 1)
            parameter = parameters[name]
            optimizer.state[parameter][kind] = value.to(parameter.device)


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
        meters: metrics since the last line of the log.
        step: steps done.
        total: steps that the learning-rate schedule is laid out for; 0 while it is not known.
        logged: the step of the last line of the log.
        skipped: steps skipped in all and in a row.
        best: best score by name, with the step that had it.
        channels_sorted: whether the warm-up's channel sorting is done.
    """

    def __init__(self, net: M, options: OptimizerOptions, about: Mapping[str, Any]) -> None:
        self.net = net.train()
        self.about = dict(about)
        self.ema = MovingAverage(net, copy.deepcopy(net), options.ema) if options.ema else None
        self.optimizer = make_optimizer(net, options)
        self.gradient = FlatGradient(net.parameters())
        self.meters = Meters()
        self.step = 0
        self.total = 0
        self.logged = 0
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
            "total": self.total,
            **self.about,
            "config": dict(config),
            "meters": self.meters.state(),
            "logged": self.logged,
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
        try:
            self._describe(meta)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(
                f"checkpoint {path} does not say where its run stood ({error}); remove it to go on from the "
                "one before"
            ) from None

    def _describe(self, meta: Mapping[str, Any]) -> None:
        if not all(count > 0 for _, count in meta["meters"].values()):
            raise ValueError("meters without a count")
        self.meters = Meters(meta["meters"])
        self.step = int(meta["step"])
        self.total, self.logged = int(meta.get("total", 0)), int(meta.get("logged", 0))
        in_all, in_a_row = map(int, meta["skipped"])
        self.skipped = (in_all, in_a_row)
        self.best = {name: (float(score), int(step)) for name, (score, step) in meta["best"].items()}
        self.channels_sorted = bool(meta["channels_sorted"])
