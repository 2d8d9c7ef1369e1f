"""`python -m supernet.train`: train a weight-sharing supernet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .cli import launch
from .runs.progress import exit_if_stopped
from .training.options import JobOptions


@dataclass
class TrainCommand(JobOptions):
    """Settings of the command.

    Attributes:
        space: the name of a space, or a YAML file.
        init: whose weights the supernet starts from: a training run or checkpoint, a supernet that ships,
            or "efficientnet_lite0" from ImageNet; space and joints may differ, and one line says what was
            taken over.
    """

    space: str = "demo"
    init: str | None = None


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
    from .training.job import open_job, train_supernet

    config.limit_threads()
    with open_job(config, folder) as job:
        signal = train_supernet(job, space, config.init)
    exit_if_stopped(signal, folder)


if __name__ == "__main__":
    # Under its own name, so that a launcher can send the settings' class to other processes.
    from supernet.train import main as run_main

    run_main()
