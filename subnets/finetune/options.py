"""Settings of `subnets.finetune`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field

from supernet.data.source import DataConfig
from supernet.options import CommandOptions, option
from supernet.training.options import LoggerOptions, TrainOptions

from ..console import SourceOptions


@dataclass
class FinetuneCommand(SourceOptions, CommandOptions):
    """Settings of the command.

    Attributes:
        arch: the network to continue: a folder, RUN:budget, or a name with weights= or supernet=.
        name: of the run; its folder is runs/finetune/<name>.
        scratch: start from random weights where a name or file brings none.
        teacher: a training run, whose largest network teaches, or a network's folder; null learns from the
            ground truth alone.
        seed: of everything random.
        accelerator: auto, cpu, cuda or cuda:1.
        threads: of the CPU per process; null leaves it to torch.
        data: its train split is trained on, its val split scores.
        train: the recipe; `sampling` does not apply.
    """

    arch: str = "???"
    name: str = "default"
    scratch: bool = False
    teacher: str | None = None
    seed: int = option(0, least=0)
    accelerator: str = "auto"
    threads: int | None = option(None, least=1)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainOptions = field(default_factory=TrainOptions)
    logger: LoggerOptions = field(default_factory=LoggerOptions)
