"""Settings of `subnets.finetune`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field

from supernet.data.source import DataConfig
from supernet.training.options import JobOptions

from ..console import SourceOptions


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
