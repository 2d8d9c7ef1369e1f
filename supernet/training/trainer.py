"""The training loop: steps, log, checkpoints, validation; stopped anywhere, it goes on as if it had not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from ..data.batch import Batch
from ..data.loader import Loader
from ..errors import InputError
from ..family import Architecture
from ..heads.contract import Head, head_of
from ..heads.losses import PoseLoss
from ..runs.log import RunLog
from ..runs.progress import ProgressBar, StopRequest
from ..sampling import Sampled
from .checkpoint import CheckpointFolder
from .distributed import Ranks
from .options import GuardOptions, TrainOptions
from .state import TrainingState, learning_rate
from .step import Forward, backward_all, chunks

M = TypeVar("M", bound=nn.Module)
_LOG = logging.getLogger(__name__)


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


@dataclass(frozen=True)
class Scores:
    """What a validation found.

    Attributes:
        metrics: for the log, by name.
        best: those that the best checkpoints are chosen by, by the checkpoint's name (larger is better).
    """

    metrics: Mapping[str, float]
    best: Mapping[str, float]


class Schedule(Protocol):
    """Which subnets a step trains."""

    def resolution(self, step: int) -> int:
        """Input side of `step` in pixels."""

    def subnets(self, step: int) -> Sequence[Sampled]:
        """The subnets of `step`."""


class Task(Generic[M]):
    """What a run trains: a network, its heads, the subnets of each step, and how it is scored.

    Attributes:
        state: where the training stands.
        schedule: the subnets of each step.
        heads: of its networks; those of one step have the same.
        teacher: gives the outputs that all subnets learn from besides the ground truth; without one, they
            learn from those of the largest.
    """

    def __init__(
        self,
        state: TrainingState[M],
        schedule: Schedule,
        heads: Sequence[Head],
        teacher: Forward | None = None,
    ) -> None:
        self.state = state
        self.schedule = schedule
        self.heads = tuple(heads)
        self.teacher = teacher

    def forward(self, images: Tensor, arch: Architecture) -> list[Tensor]:
        """The outputs of the subnet `arch` for `images` (B, 3, H, W)."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Called before each step."""

    def score(self, log: RunLog | None) -> Scores:
        """Score the averaged network; called on every rank, with the log on the first."""
        raise NotImplementedError


class Trainer(Generic[M]):
    """Trains a supernet, or a single network.

    Args:
        task: what to train.
        loader: batches, at the resolutions of the task's schedule.
        options: the recipe.
        ranks: the processes that share each batch.
        checkpoints: where to save.
        log: where the metrics go; on rank 0 only.
        config: the run's settings, kept in each checkpoint.
    """

    def __init__(
        self,
        task: Task[M],
        loader: Loader,
        options: TrainOptions,
        ranks: Ranks,
        checkpoints: CheckpointFolder,
        log: RunLog | None,
        config: Mapping[str, Any],
    ) -> None:
        self.task = task
        self.state = task.state
        self.total = self.state.total = options.total_steps(loader.plan.num_images)
        self._loader = loader
        self._options = options
        self._ranks = ranks
        self._checkpoints = checkpoints
        self._log = log
        self._config = config
        self._guard = NonFiniteGuard(options.guards, checkpoints.last)
        self._guard.in_all, self._guard.in_a_row = task.state.skipped
        self._since = (time.monotonic(), task.state.step)

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
                self.task.prepare()
                stopped = self._train_step(batch, stop)
                state.step += 1
                last = state.step == self.total
                if last or state.step % options.log_every == 0:
                    bar.update(state.step, self._write_log())
                else:
                    bar.update(state.step)
                every = options.validation.every
                if every and (last or state.step % every == 0):
                    self._score()
                elif last or stopped or state.step % options.checkpoint.every == 0:
                    self._save()
                if stopped and not last:
                    return int(max(self._ranks.gather(stop.signal)))
        return 0

    def _train_step(self, batch: Batch, stop: StopRequest) -> bool:
        """One optimizer step; whether any rank was asked to stop."""
        state, options = self.state, self._options
        subnets, teacher = self.task.schedule.subnets(state.step), self.task.teacher
        head, precision = head_of(subnets[0].arch), options.precision
        parts = list(chunks(batch, head, options.accumulate, precision, options.sigma))
        state.gradient.zero()
        forward = self.task.forward
        loss = PoseLoss(head, options.loss)
        metrics = backward_all(forward, subnets, parts, loss, bf16=precision.bf16, teacher=teacher)
        asked = metrics["loss"].new_full((), float(stop.signal > 0))
        state.gradient.attach(torch.stack([asked, *metrics.values()]))
        self._ranks.mean_(state.gradient.buffer)
        norm = state.gradient.clip(options.optimizer.clip)
        # The one transfer of a step; it also tells every rank the same about stopping and skipping.
        shared = state.gradient.extras[: 1 + len(metrics)]
        grad_norm, stopped, *values = torch.cat([norm[None], shared]).tolist()
        means = dict(zip(metrics, values, strict=True))
        finite = all(abs(value) < float("inf") for value in (grad_norm, means["loss"]))
        if finite:
            rate = learning_rate(options.optimizer, state.step, self.total)
            for group in state.optimizer.param_groups:
                group["lr"] = rate * group["share"]
            state.optimizer.step()
            if state.ema is not None:
                state.ema.update(state.step)
            state.meters.add({**means, "grad_norm": grad_norm})
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
        state.logged = state.step
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
        started = time.monotonic()
        scores = self.task.score(self._log)
        metrics = {**scores.metrics, "seconds": round(time.monotonic() - started, 3)}
        if self._log is not None:
            self._log.write("validation", self.state.step, metrics)
        self.state.logged = self.state.step
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
        """Mark this step's checkpoint as best; after a restart too, as the first process may have died."""
        for name, (_, step) in self.state.best.items():
            if step == self.state.step and self._ranks.is_main:
                self._checkpoints.mark_best(name, step)
