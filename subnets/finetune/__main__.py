"""`python -m subnets.finetune`: continue a subnet from its inherited weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.cli import launch
from supernet.data.source import DataConfig
from supernet.runs.progress import exit_if_stopped
from supernet.training.options import JobOptions

from ..console import SourceOptions, register_slug

if TYPE_CHECKING:
    from ..network import Network


@dataclass
class FinetuneCommand(JobOptions, SourceOptions):
    """Settings of the command.

    Attributes:
        arch: the network to continue: a folder, RUN:budget, or a name with weights= or supernet=.
        scratch: start from random weights where a name or file brings none.
        teacher: a training run, whose largest network teaches, or a network's folder; null learns from the
            ground truth alone.
        train: the recipe; `sampling` does not apply.
    """

    arch: str = "???"
    scratch: bool = False
    teacher: str | None = None
    data: DataConfig = field(default_factory=DataConfig)


def main() -> None:
    """Run the command."""
    register_slug()
    launch("finetune", FinetuneCommand, run)


def run(config: FinetuneCommand, folder: Path) -> None:
    """Fine-tune in `folder`, or go on there; prints val AP before and after."""
    from supernet.training.job import open_job

    from ..console import open_console
    from ..source import open_source
    from .finetuning import finetune, fresh, result_table

    config.limit_threads()
    opened = open_source(config.arch, config)
    net = fresh(opened, config.seed) if config.scratch else opened.require_trained().require_net()
    teacher = open_teacher(config.teacher, config.data) if config.teacher else None
    with open_job(config, folder) as job:
        signal = finetune(job, net, teacher)
    exit_if_stopped(signal, folder)
    if job.ranks.is_main:
        open_console().print(result_table(folder))


def open_teacher(teacher: str, data: DataConfig) -> Network:
    """The network that teaches: the largest one of a training run, or what `arch=` would name."""
    from supernet.training.checkpoint import is_training_run

    from ..source import open_source

    is_run = is_training_run(teacher)
    options = SourceOptions(supernet=teacher, data=data) if is_run else None
    return open_source("largest" if is_run else teacher, options).require_trained().require_net()


if __name__ == "__main__":
    # Under its own name, so that a launcher can send the settings' class to other processes.
    from subnets.finetune.__main__ import main as run_main

    run_main()
