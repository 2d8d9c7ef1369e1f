"""Settings of `subnets.benchmark`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from supernet.errors import InputError
from supernet.options import CommandOptions


@dataclass
class BenchmarkOptions:
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

    rounds: int = 50
    warmup: int = 5
    batch: int = 1
    input_shape: list[int] | None = None
    image: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("rounds", 1), ("warmup", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise InputError(f"benchmark.{name}={getattr(self, name)} must be {least} or more")
        if self.input_shape is not None and len(self.input_shape) != 2:
            raise InputError("benchmark.input_shape is [height, width]")
        if self.image is not None and (self.input_shape is not None or self.batch != 1):
            raise InputError("benchmark.image has a shape of its own; leave out input_shape and batch")


@dataclass
class BenchmarkCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        arch: one or several networks, trained or not.
        name: of the run; its folder is runs/benchmark/<name>.
        runtime: any of torch, onnxruntime, openvino.
        threads: of every runtime; null leaves it to them.
        weights, supernet, skeleton: see `subnets.source.SourceOptions`.
    """

    arch: Any = "???"
    name: str = "default"
    runtime: Any = field(default_factory=lambda: ["torch", "onnxruntime"])
    threads: int | None = None
    weights: str | None = None
    supernet: str | None = None
    skeleton: str = "crowdpose"
    benchmark: BenchmarkOptions = field(default_factory=BenchmarkOptions)
