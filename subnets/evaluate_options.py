"""Settings of `subnets.evaluate`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field
from typing import Any

from supernet.data.source import DataConfig
from supernet.evaluation_options import EvaluationOptions


@dataclass
class EvaluateCommand:
    """Settings of the command.

    Attributes:
        arch: one or several networks: folders, RUN:budget, .onnx files, or names with weights= or supernet=.
        name: of the evaluation; its folder is runs/evaluate/<name>.
        split: train, val or test.
        runtime: torch, onnxruntime or openvino (the last two on a folder's model.onnx).
        threads: of the runtime; null leaves it to it.
        weights, supernet, skeleton: see `subnets.source.SourceOptions`.
        data: what to evaluate on.
        evaluation: flip and multi-scale test, number of images.
    """

    arch: Any = "???"
    name: str = "default"
    split: str = "test"
    runtime: str = "torch"
    threads: int | None = None
    weights: str | None = None
    supernet: str | None = None
    skeleton: str = "crowdpose"
    data: DataConfig = field(default_factory=DataConfig)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
