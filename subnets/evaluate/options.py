"""Settings of `subnets.evaluate`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from supernet.data.source import DataConfig
from supernet.options import CommandOptions, EvaluationOptions, threads_option

from ..console import SourceOptions


@dataclass
class EvaluateCommand(SourceOptions, CommandOptions):
    """Settings of the command.

    Attributes:
        arch: one or several networks: folders, RUN:budget, .onnx files, or names with weights= or supernet=.
        name: of the evaluation; its folder is runs/evaluate/<name>.
        split: train, val or test.
        runtime: torch; onnxruntime, openvino, torch.export, litert or executorch for a folder's file of
            theirs; or auto (torch, but for a file the one that runs it).
        threads: of the runtime; null leaves it to it.
        data: what to evaluate on.
        scorer: auto (crowdposetools where it is there and runs, else faster-coco-eval: the same metrics), or
            one of crowdposetools, faster-coco-eval, pycocotools (COCO only).
        oks_nms: leave out people whose OKS with a better one exceeds this (0..1); null keeps all.
        evaluation: flip and multi-scale test, number of images.
    """

    arch: Any = "???"
    name: str = "default"
    split: str = "test"
    runtime: str = "auto"
    threads: int | None = threads_option(None)
    data: DataConfig = field(default_factory=DataConfig)
    scorer: str = "auto"
    oks_nms: float | None = None
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
