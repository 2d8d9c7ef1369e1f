"""`python -m supernet.train`: train a weight-sharing supernet."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from .cli import claim_run_folder
from .cli import launch
from .data.source import DataConfig
from .train_options import TrainOptions

if TYPE_CHECKING:
    from .distributed import Ranks

# What may differ when a run is taken up again: it changes no result.
VOLATILE = ("device", "threads", "data.workers", "data.cache", "data.verify", "logger")


@dataclass
class TrainCommand:
    """Settings of the command.

    Attributes:
        name: of the run; its folder is runs/train/<name>.
        space: a name in conf/space or a YAML file.
        seed: of everything random.
        device: auto, cpu, cuda or cuda:1.
        threads: of the CPU per process; None leaves it to torch.
    """

    name: str = "default"
    space: str = "tiny"
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainOptions = field(default_factory=TrainOptions)


def main() -> None:
    """Run the command."""
    launch("train", TrainCommand, run)


def run(config: TrainCommand, folder: Path) -> None:
    """Train in `folder`, or go on with the training there."""
    import torch

    from .distributed import open_ranks

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    with open_ranks(config.device) as ranks:
        if ranks.is_main:
            claim_run_folder(folder, config, VOLATILE)
        ranks.barrier()
        signal = train(config, folder, ranks)
    if signal:
        print(f"stopped and saved; the same command goes on from there ({folder})", file=sys.stderr)
        sys.exit(128 + signal)


def train(config: TrainCommand, folder: Path, ranks: Ranks) -> int:
    """Build everything, train, and draw the curves; the number of the signal that stopped it, or 0."""
    from omegaconf import OmegaConf

    from .checkpoint import FOLDER
    from .checkpoint import CheckpointFolder
    from .curves import draw_curves
    from .data.loader import Loader
    from .data.options import LoaderOptions
    from .data.source import open_split
    from .network import Supernet
    from .run_log import RunLog
    from .sampling import SubnetSchedule
    from .space import SearchSpace
    from .training import Trainer
    from .training_state import TrainingState

    options = config.train
    space = SearchSpace.load(config.space)
    schedule = SubnetSchedule(space, options.sampling, config.seed)
    if ranks.is_main:
        open_split(config.data, "train")  # renders the data before the other ranks look for it
    ranks.barrier()
    dataset = open_split(config.data, "train")
    net = Supernet(space, dataset.skeleton.num_joints, config.seed).to(ranks.device)
    state = TrainingState(net, options.optimizer)
    checkpoints = CheckpointFolder(folder / FOLDER, options.checkpoint.keep)
    last = ranks.share(checkpoints.last())
    if last is not None:
        state.restore(last)
    loader = Loader(
        dataset,
        LoaderOptions(batch_size=options.batch_size, seed=config.seed, sigma=options.sigma),
        schedule.resolution,
        augment=config.data.augment,
        workers=config.data.workers,
        rank=ranks.rank,
        world=ranks.world,
        pin_memory=ranks.device.type == "cuda",
    )
    log = None
    if ranks.is_main:
        checkpoints.clean()
        space.save(folder / "space.yaml")
        log = RunLog(folder / "log.jsonl", resume_step=state.step)
    trainer = Trainer(
        state, loader, schedule, options,
        ranks=ranks, checkpoints=checkpoints, log=log,
        config=OmegaConf.to_container(OmegaConf.structured(config)),
    )  # fmt: skip
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


def _announce(done: int, total: int, folder: Path) -> None:
    if done >= total:
        print(f"{folder} is trained already ({done} steps)", file=sys.stderr)
    elif done:
        print(f"going on in {folder} from step {done} of {total}", file=sys.stderr)
    else:
        print(f"training {total} steps in {folder}", file=sys.stderr)


if __name__ == "__main__":
    main()
