"""One training run in a folder: everything built from the settings, trained, and drawn."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .channel_warmup import sort_when_due
from .checkpoint import FOLDER
from .checkpoint import CheckpointFolder
from .checkpoint import supernet_about
from .curves import draw_curves
from .data.loader import Loader
from .data.options import LoaderOptions
from .data.source import DataConfig
from .data.source import open_split
from .distributed import Ranks
from .forward import make_forward
from .logger_options import LoggerOptions
from .network import Supernet
from .prediction_pictures import draw_predictions
from .run_log import RunLog
from .run_sinks import open_sinks
from .sampling import SubnetSchedule
from .space import SearchSpace
from .train_options import TrainOptions
from .training import Trainer
from .training_state import TrainingState
from .validation import Validator
from .validation import validation_archs

LOG = "log.jsonl"


def train_supernet(
    folder: Path,
    space: SearchSpace,
    data: DataConfig,
    options: TrainOptions,
    *,
    seed: int,
    ranks: Ranks,
    logger: LoggerOptions | None = None,
    config: Mapping[str, Any] | None = None,
) -> int:
    """Train a supernet in `folder`, or go on with the training there; every rank calls this.

    Args:
        folder: the run folder: checkpoints/, log.jsonl, curves.png, pictures/, space.yaml.
        space: the architectures.
        data: its train split is trained on, its val split validates.
        options: the recipe.
        seed: of everything random.
        ranks: the processes that share the work.
        logger: further places for the figures.
        config: the settings as plain values, kept in each checkpoint.

    Returns:
        the number of the signal that stopped it after saving, or 0.

    Raises:
        InputError: settings, data or an older checkpoint in the folder do not fit; see `Trainer.fit`.
    """
    config = dict(config or {})
    schedule = SubnetSchedule(space, options.sampling, seed)
    if ranks.is_main:
        open_split(data, "train")  # renders the data before the other ranks look for it
    ranks.barrier()
    dataset = open_split(data, "train")
    net = Supernet(space, dataset.skeleton.num_joints, seed).to(ranks.device)
    state = TrainingState(net, options.optimizer, supernet_about(net))
    checkpoints = CheckpointFolder(folder / FOLDER, options.checkpoint.keep)
    last = ranks.share(checkpoints.last())
    if last is not None:
        state.restore(last)
    batches = LoaderOptions(batch_size=options.batch_size, seed=seed, sigma=options.sigma)
    loader = Loader(
        dataset,
        batches,
        schedule.resolution,
        augment=data.augment,
        workers=data.workers,
        rank=ranks.rank,
        world=ranks.world,
        device=ranks.device,
    )
    log = None
    if ranks.is_main:
        checkpoints.clean()
        space.save(folder / "space.yaml")
        sinks = open_sinks(folder, logger or LoggerOptions(), config, state.step)
        log = RunLog(folder / LOG, sinks, resume_step=state.step)
    trainer = Trainer(
        state,
        loader,
        schedule,
        options,
        ranks=ranks,
        checkpoints=checkpoints,
        log=log,
        config=config,
        forward=make_forward(net, options.precision),
        prepare=partial(sort_when_due, state, options.sampling),
        validate=_validator(folder, space, data, options, seed, ranks, log),
    )
    if ranks.is_main:
        _announce(state.step, trainer.total, folder)
    try:
        signal = trainer.fit()
    finally:
        loader.close()
        if log is not None:
            log.close()
    if ranks.is_main:
        draw_curves(folder)
    return signal


def _validator(
    folder: Path,
    space: SearchSpace,
    data: DataConfig,
    options: TrainOptions,
    seed: int,
    ranks: Ranks,
    log: RunLog | None,
) -> Validator | None:
    wanted = options.validation
    if not wanted.every:
        return None
    draw = None
    if log is not None and wanted.pictures:
        draw = partial(draw_predictions, folder / "pictures", log, wanted.pictures)
    archs = validation_archs(space, wanted.subnets, seed)
    return Validator(archs, open_split(data, "train"), open_split(data, "val"), wanted, ranks, draw)


def _announce(done: int, total: int, folder: Path) -> None:
    if done >= total:
        print(f"{folder} is trained already ({done} steps)", file=sys.stderr)
    elif done:
        print(f"going on in {folder} from step {done} of {total}", file=sys.stderr)
    else:
        print(f"training {total} steps in {folder}", file=sys.stderr)
