"""What every training run shares: its folder, data, log and checkpoints around the trainer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from ..data.dataset import PoseDataset
from ..data.loader import Loader
from ..data.options import LoaderOptions
from ..data.source import DataConfig, ensure_data, open_ready_split
from ..errors import InputError
from ..runs.files import clear_when_full
from ..runs.log import RunLog
from ..runs.sinks import open_sinks
from .checkpoint import FOLDER, CheckpointFolder
from .distributed import Ranks
from .options import LoggerOptions, TrainOptions
from .pictures import draw_curves
from .state import TrainingState
from .step import Forward
from .trainer import Schedule, Scores, Trainer

LOG = "log.jsonl"
M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class TrainingJob:
    """One training run in a folder.

    Attributes:
        folder: the run folder: checkpoints/, log.jsonl, curves.png, pictures/.
        data: its train split is trained on, its val split validates.
        options: the recipe.
        seed: of everything random.
        ranks: the processes that share the work.
        logger: further places for the figures.
        config: the settings as plain values, kept in each checkpoint.

    Raises:
        InputError: `batch_size`, `seed`, `sigma` or `accumulate` is out of its range.
    """

    folder: Path
    data: DataConfig
    options: TrainOptions
    seed: int
    ranks: Ranks
    logger: LoggerOptions = field(default_factory=LoggerOptions)
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Before anything is written: a folder with files of a run holds it to its settings.
        self._loader_options()
        share, accumulate = self.options.batch_size // self.ranks.world, self.options.accumulate
        if share % accumulate:
            raise InputError(
                f"train.accumulate={accumulate} does not divide the {share} images of each process"
            )

    def _loader_options(self) -> LoaderOptions:
        options = self.options
        return LoaderOptions(batch_size=options.batch_size, seed=self.seed, sigma=options.sigma)

    def open_split(self, role: str) -> PoseDataset:
        """A split of the data; the first rank renders it, if need be, before the others look for it."""
        if self.ranks.is_main:
            ensure_data(self.data)
        self.ranks.barrier()
        return open_ready_split(self.data, role)

    def run(
        self,
        state: TrainingState[M],
        dataset: PoseDataset,
        schedule: Schedule,
        *,
        forward: Forward,
        teacher: Forward | None = None,
        prepare: Callable[[], None] = lambda: None,
        validator: Callable[[RunLog | None], Callable[[M, int], Scores] | None] = lambda log: None,
    ) -> int:
        """Train, or go on from the last checkpoint; every rank calls this.

        Args:
            state: fresh; it takes up the last checkpoint of the folder.
            dataset: the training split.
            schedule, forward, teacher, prepare: see `Trainer`.
            validator: given the log of the first rank, makes what scores the network.

        Returns:
            the number of the signal that stopped it after saving, or 0.

        Raises:
            InputError: settings, data or an older checkpoint in the folder do not fit, or the disk is full;
                see `Trainer.fit`.
        """
        checkpoints = self._resume(state)
        # Around the log's and the loader's end too: what is still to be flushed may not fit either.
        with clear_when_full(lambda: _on_full_disk(checkpoints.last())):
            loader = self._loader(dataset, schedule)
            log = self._open_log(state.step) if self.ranks.is_main else None
            try:
                trainer = Trainer(
                    state,
                    loader,
                    schedule,
                    self.options,
                    ranks=self.ranks,
                    checkpoints=checkpoints,
                    log=log,
                    config=self.config,
                    forward=forward,
                    teacher=teacher,
                    prepare=prepare,
                    validate=validator(log),
                )
                self._announce(state.step, trainer.total)
                signal = trainer.fit()
            finally:
                loader.close()
                if log is not None:
                    log.close()
            if self.ranks.is_main:
                draw_curves(self.folder)
        return signal

    def _resume(self, state: TrainingState[M]) -> CheckpointFolder:
        checkpoints = CheckpointFolder(self.folder / FOLDER, self.options.checkpoint.keep)
        if self.ranks.is_main:
            checkpoints.clean()
        last = self.ranks.share(checkpoints.last())
        if last is not None:
            state.restore(last)
        return checkpoints

    def _loader(self, dataset: PoseDataset, schedule: Schedule) -> Loader:
        return Loader(
            dataset,
            self._loader_options(),
            schedule.resolution,
            augment=self.data.augment,
            workers=self.data.workers,
            rank=self.ranks.rank,
            world=self.ranks.world,
            device=self.ranks.device,
        )

    def _open_log(self, step: int) -> RunLog:
        self.folder.mkdir(parents=True, exist_ok=True)
        sinks = open_sinks(self.folder, self.logger, dict(self.config), step)
        return RunLog(self.folder / LOG, sinks, resume_step=step)

    def _announce(self, done: int, total: int) -> None:
        if not self.ranks.is_main:
            return
        if done >= total:
            print(f"{self.folder} is trained already ({done} steps)", file=sys.stderr)
        elif done:
            print(f"going on in {self.folder} from step {done} of {total}", file=sys.stderr)
        else:
            print(f"training {total} steps in {self.folder}", file=sys.stderr)


def _on_full_disk(last: Path | None) -> str:
    good = f"the last good checkpoint is {last or 'none'}"
    return f"{good}; free some space and start the same command again to go on from there"
