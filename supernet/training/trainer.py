"""The training loop: steps, log, checkpoints, validation; stopped anywhere, it goes on as if it had not
been.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from ..data.batch import Batch
from ..data.loader import Loader
from ..errors import InputError
from ..losses import PoseLoss
from ..runs.interrupts import StopRequest
from ..runs.log import RunLog
from ..runs.progress import ProgressBar
from ..sampling import Sampled
from .checkpoint import CheckpointFolder
from .distributed import Ranks
from .options import GuardOptions, TrainOptions
from .state import TrainingState, learning_rate
from .step import Forward, backward_all, chunks


class NonFiniteGuard:
    """Counts skipped steps and stops the run when there are too many.

    Attributes:
        in_all, in_a_row: skipped steps so far, and since the last good one.
    """

    def __init__(self, options: GuardOptions, last_good: Callable[[], Path | None]) -> None:
        self._options = options
        self._last_good = last_good
        self.in_all = 0
        self.in_a_row = 0

    def record(self, step: int, good: bool) -> None:
        """Count `step`.

        Raises:
            InputError: too many steps were skipped.
        """
        self.in_a_row = 0 if good else self.in_a_row + 1
        self.in_all += not good
        if self.in_a_row >= self._options.in_a_row or self.in_all >= self._options.in_all:
            raise InputError(
                f"training stopped at step {step}: {self.in_all} steps had a loss or gradient that is not "
                f"finite, the last {self.in_a_row} in a row; the last good checkpoint is "
                f"{self._last_good() or 'none'}; start a new run with a lower train.optimizer.lr or a "
                "smaller train.optimizer.clip"
            )


M = TypeVar("M", bound=nn.Module)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """What a validation found.

    Attributes:
        figures: for the log, by name.
        best: those that the best checkpoints are chosen by, by the checkpoint's name (larger is better).
    """

    figures: Mapping[str, float]
    best: Mapping[str, float]


class Schedule(Protocol):
    """Which subnets a step trains."""

    def resolution(self, step: int) -> int:
        """Input side of `step` in pixels."""

    def subnets(self, step: int) -> Sequence[Sampled]:
        """The subnets of `step`."""


class Trainer(Generic[M]):
    """Trains a supernet, or a single network.

    Args:
        state: where it stands.
        loader: batches, at the resolutions of `schedule`.
        schedule: the subnets of each step.
        options: the recipe.
        ranks: the processes that share each batch.
        checkpoints: where to save.
        log: where the figures go; on rank 0 only.
        config: the run's settings, kept in each checkpoint.
        forward: runs a subnet of `state.net`.
        teacher: gives the outputs that all subnets learn from besides the ground truth; without one, they
            learn from those of the largest.
        prepare: called before each step.
        validate: scores the averaged network; called on every rank.
    """

    def __init__(
        self,
        state: TrainingState[M],
        loader: Loader,
        schedule: Schedule,
        options: TrainOptions,
        *,
        ranks: Ranks,
        checkpoints: CheckpointFolder,
        log: RunLog | None,
        config: Mapping[str, Any],
        forward: Forward,
        teacher: Forward | None = None,
        prepare: Callable[[], None] = lambda: None,
        validate: Callable[[M, int], Scores] | None = None,
    ) -> None:
        self.state = state
        self.total = options.total_steps(loader.plan.num_images)
        self._loader = loader
        self._schedule = schedule
        self._options = options
        self._ranks = ranks
        self._checkpoints = checkpoints
        self._log = log
        self._config = config
        self._forward = forward
        self._teacher = teacher
        self._prepare = prepare
        self._validate = validate
        self._loss = PoseLoss(options.loss)
        self._guard = NonFiniteGuard(options.guards, checkpoints.last)
        self._guard.in_all, self._guard.in_a_row = state.skipped
        self._since = (time.monotonic(), state.step)

    def fit(self) -> int:
        """Train to the end.

        Returns:
            the number of the signal that stopped it before, after a checkpoint was written; 0 at the end.

        Raises:
            InputError: too many steps were skipped, or an image cannot be read.
        """
        state, options = self.state, self._options
        self._remark_best()
        with (
            StopRequest() as stop,
            ProgressBar("training", self.total, state.step, shown=self._ranks.is_main) as bar,
        ):
            for batch in self._loader.batches(state.step, self.total):
                for fault in batch.skipped:
                    _LOG.warning("%s; another image took its place", fault)
                self._prepare()
                stopped = self._train_step(batch, stop)
                state.step += 1
                last = state.step == self.total
                if last or state.step % options.log_every == 0:
                    bar.update(state.step, self._write_log())
                else:
                    bar.update(state.step)
                every = options.validation.every
                if self._validate is not None and (last or (every and state.step % every == 0)):
                    self._score()
                elif last or stopped or state.step % options.checkpoint.every == 0:
                    self._save()
                if stopped and not last:
                    return int(max(self._ranks.gather(stop.signal)))
        return 0

    def _train_step(self, batch: Batch, stop: StopRequest) -> bool:
        """One optimizer step; whether any rank was asked to stop."""
        state, options = self.state, self._options
        parts = list(chunks(batch, options.accumulate, options.precision))
        state.gradient.zero()
        metrics = backward_all(
            self._forward,
            self._schedule.subnets(state.step),
            parts,
            self._loss,
            bf16=options.precision.bf16,
            teacher=self._teacher,
        )
        extras = state.gradient.extras
        extras[0] = float(stop.signal > 0)
        extras[1 : 1 + len(metrics)] = torch.stack(list(metrics.values()))
        self._ranks.mean_(state.gradient.buffer)
        norm = state.gradient.clip(options.optimizer.clip)
        # The one transfer of a step; it also tells every rank the same about stopping and skipping.
        grad_norm, stopped, *values = torch.cat([norm[None], extras[: 1 + len(metrics)]]).tolist()
        figures = dict(zip(metrics, values, strict=True))
        finite = all(abs(value) < float("inf") for value in (grad_norm, figures["loss"]))
        if finite:
            rate = learning_rate(options.optimizer, state.step, self.total)
            for group in state.optimizer.param_groups:
                group["lr"] = rate
            state.optimizer.step()
            if state.ema is not None:
                state.ema.update(state.step)
            state.meters.add({**figures, "grad_norm": grad_norm})
        self._guard.record(state.step, finite)
        state.skipped = (self._guard.in_all, self._guard.in_a_row)
        return bool(stopped > 0)

    def _write_log(self) -> str:
        """Write the averages since the last line; a note for the progress bar."""
        state = self.state
        now = time.monotonic()
        seconds = now - self._since[0]
        images = (state.step - self._since[1]) * self._options.batch_size
        self._since = (now, state.step)
        means = state.meters.means()
        state.meters.clear()
        if self._log is not None:
            self._log.write(
                "train",
                state.step,
                {
                    "epoch": round(self._loader.plan.epoch(state.step), 4),
                    "lr": learning_rate(self._options.optimizer, state.step - 1, self.total),
                    **means,
                    "skipped": state.skipped[0],
                    "seconds": round(seconds, 3),
                    "images_per_second": round(images / seconds, 2),
                },
            )
        skipped = f" skipped {state.skipped[0]}" if state.skipped[0] else ""
        return f"loss {means.get('loss', float('nan')):.4f}{skipped} {images / seconds:.0f} images/s"

    def _score(self) -> None:
        """Validate, save, and keep what is better than before."""
        assert self._validate is not None
        started = time.monotonic()
        scores = self._validate(self.state.averaged, self.state.step)
        figures = {**scores.figures, "seconds": round(time.monotonic() - started, 3)}
        if self._log is not None:
            self._log.write("validation", self.state.step, figures)
        for name, score in scores.best.items():
            if score > self.state.best.get(name, (-1.0, 0))[0]:
                self.state.best[name] = (score, self.state.step)
        self._save()
        self._remark_best()
        self._since = (time.monotonic(), self.state.step)

    def _save(self) -> None:
        # In a series of bad steps the weights may be what is bad: the last good checkpoint has to outlive it.
        if self._ranks.is_main and (not self.state.skipped[1] or self.state.is_finite()):
            if self._log is not None:
                self._log.sync()
            self._checkpoints.save(self.state.step, self.state.snapshot(self._config))
        self._ranks.barrier()

    def _remark_best(self) -> None:
        """Mark this step's checkpoint as best; also after a restart, as the first process may have died
        between.
        """
        for name, (_, step) in self.state.best.items():
            if step == self.state.step and self._ranks.is_main:
                self._checkpoints.mark_best(name, step)
