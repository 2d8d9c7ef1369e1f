"""`python -m supernet.train`: train a weight-sharing supernet."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .cli import is_first_rank, launch
from .data.source import DataConfig
from .options import CommandOptions, option
from .runs.folders import hold_run_folder
from .runs.progress import exit_if_stopped
from .training.options import VOLATILE, LoggerOptions, TrainOptions

if TYPE_CHECKING:
    from .space import SearchSpace


@dataclass
class TrainCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        name: of the run; its folder is runs/train/<name>.
        space: the name of a space, or a YAML file.
        init: whose weights the supernet starts from: a training run or checkpoint, a supernet that ships,
            or "efficientnet_lite0" from ImageNet; space and joints may differ, and one line says what was
            taken over.
        seed: of everything random.
        accelerator: auto, cpu, cuda or cuda:1.
        threads: of the CPU per process; None leaves it to torch.
    """

    name: str = "default"
    space: str = "demo"
    init: str | None = None
    seed: int = option(0, least=0)
    accelerator: str = "auto"
    threads: int | None = option(None, least=1)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainOptions = field(default_factory=TrainOptions)
    logger: LoggerOptions = field(default_factory=LoggerOptions)


def main() -> None:
    """Run the command."""
    launch("train", TrainCommand, run)


def run(config: TrainCommand, folder: Path) -> None:
    """Train in `folder`, or go on with the training there."""
    from .sampling import SubnetSchedule
    from .space import SearchSpace

    # What can be refused is refused before torch is loaded.
    space = SearchSpace.load(config.space)
    SubnetSchedule(space, config.train.sampling, config.seed)
    with hold_run_folder(folder, config, VOLATILE) if is_first_rank() else nullcontext():
        signal = train(config, folder, space)
    exit_if_stopped(signal, folder)


def train(config: TrainCommand, folder: Path, space: SearchSpace) -> int:
    """Train with this process's rank; the number of the signal that stopped it after saving, or 0."""
    import torch
    from omegaconf import OmegaConf

    from .training.distributed import open_ranks
    from .training.job import TrainingJob, train_supernet

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    plain = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(config)))
    with open_ranks(config.accelerator) as ranks:
        job = TrainingJob(
            folder, config.data, config.train, config.seed, ranks, logger=config.logger, config=plain
        )
        return train_supernet(job, space, config.init)


if __name__ == "__main__":
    # Under its own name, so that a launcher can send the settings' class to other processes.
    from supernet.train import main as run_main

    run_main()
