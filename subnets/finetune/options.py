"""Settings of `subnets.finetune`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field

from supernet.data.source import DataConfig
from supernet.options import CommandOptions
from supernet.training.options import LoggerOptions, TrainOptions, at_least


@dataclass
class FinetuneCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        arch: the network to continue: a folder, RUN:budget, or a name with weights= or supernet=.
        name: of the run; its folder is runs/finetune/<name>.
        scratch: start from random weights where a name or file brings none.
        supernet, weights, skeleton: see `subnets.source.SourceOptions`.
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
    supernet: str | None = None
    weights: str | None = None
    skeleton: str = "crowdpose"
    scratch: bool = False
    teacher: str | None = None
    seed: int = 0
    accelerator: str = "auto"
    threads: int | None = None
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainOptions = field(default_factory=TrainOptions)
    logger: LoggerOptions = field(default_factory=LoggerOptions)

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0)
        if self.threads is not None:
            at_least("threads", self.threads, 1)
