"""Settings of `subnets.benchmark`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from supernet.errors import InputError
from supernet.options import BATCH, CommandOptions, Options, check_shape, option, seed_option, threads_option

from ..console import SourceOptions


@dataclass
class BenchmarkOptions(Options, group="benchmark"):
    """How long and on what to measure.

    Attributes:
        rounds: measured calls of every candidate, interleaved.
        warmup: calls before that.
        batch: images per call.
        input_shape: [height, width] for all networks; null takes each one's own (its square, or
            the fixed shape of its ONNX file).
        image: a picture for the whole way from file to people; null measures the network alone.
        seed: of the order within rounds.
    """

    rounds: int = option(50, least=1)
    warmup: int = option(5, least=0)
    batch: int = option(1, least=1, most=BATCH)
    input_shape: list[int] | None = None
    image: str | None = None
    seed: int = seed_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape("benchmark.input_shape", self.input_shape)
        if self.image is not None and (self.input_shape is not None or self.batch != 1):
            raise InputError("benchmark.image has a shape of its own; leave out input_shape and batch")


@dataclass
class BenchmarkCommand(SourceOptions, CommandOptions):
    """Settings of the command.

    Attributes:
        arch: one or several networks, trained or not.
        name: of the run; its folder is runs/benchmark/<name>.
        runtime: any of torch, onnxruntime, openvino, torch.export, litert, executorch.
        threads: of every runtime; null leaves it to them.
    """

    arch: Any = "???"
    name: str = "default"
    runtime: Any = field(default_factory=lambda: ["torch", "onnxruntime"])
    threads: int | None = threads_option(None)
    benchmark: BenchmarkOptions = field(default_factory=BenchmarkOptions)
