"""Settings of `subnets.export`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.options import CommandOptions

FORMATS = ("onnx", "int8", "torch_export", "openvino")
SHAPES = ("dynamic", "fixed")


@dataclass
class ExportOptions:
    """What to write and how.

    Attributes:
        shapes: `dynamic` (batch, height and width free) or `fixed` (one image of `input_shape`).
        input_shape: [height, width] for fixed shapes, multiples of 16; None means the square of the
            resolution.
        peaks: K > 0 ends the ONNX graph in the K best peaks per joint, with their tags, instead of maps;
            grouping then needs no maps (and cannot look for missed joints in them); 0 keeps the maps.
        tolerance: largest difference of a format from torch, relative to the largest output; INT8 is exempt.
        calibration_images: train images that set the ranges of INT8.
        score_images: images of the test split on which INT8 is scored beside fp32; 0 scores none, null all.
        latency_rounds: forward passes timed per format for the card; 0 times none.
        threads: of the timed runtimes; null leaves it to them.
        bundle: add the small runtime with which the folder works without this toolkit and without torch.
    """

    shapes: str = "dynamic"
    input_shape: list[int] | None = None
    peaks: int = 0
    tolerance: float = 1e-4
    calibration_images: int = 128
    score_images: int | None = 0
    latency_rounds: int = 20
    threads: int | None = None
    bundle: bool = True

    def __post_init__(self) -> None:
        if self.shapes not in SHAPES:
            raise InputError(f"export.shapes={self.shapes!r} is not one of {', '.join(SHAPES)}")
        if self.input_shape is not None and (self.shapes != "fixed" or len(self.input_shape) != 2):
            raise InputError("export.input_shape is [height, width] and needs export.shapes=fixed")
        if not 0 < self.tolerance < 1:
            raise InputError(f"export.tolerance={self.tolerance} must lie between 0 and 1")
        for name, least in (("peaks", 0), ("calibration_images", 1), ("latency_rounds", 0)):
            if getattr(self, name) < least:
                raise InputError(f"export.{name}={getattr(self, name)} must be {least} or more")


@dataclass
class ExportCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        arch: what to export: a zoo name, an architecture file, a folder, or RUN:budget; or a list of them.
        name: of the export; its folder is runs/export/<name>.
        format: any of onnx, int8, torch_export, openvino; the safetensors folder is always written.
        weights, supernet, skeleton: see `subnets.source.SourceOptions`.
        data: train images for INT8, test images for scores and the picture.
    """

    arch: Any = "???"
    name: str = "default"
    format: Any = field(default_factory=lambda: ["onnx"])
    weights: str | None = None
    supernet: str | None = None
    skeleton: str = "crowdpose"
    export: ExportOptions = field(default_factory=ExportOptions)
    data: DataConfig = field(default_factory=DataConfig)


def as_list(value: Any, what: str) -> list[str]:
    """`a`, `a,b` or `[a, b]` of the command line as a list of texts.

    Raises:
        InputError: it is empty or something else.
    """
    items = value.split(",") if isinstance(value, str) else value
    if (
        not isinstance(items, list | tuple)
        or not items
        or not all(isinstance(item, str) and item for item in items)
    ):
        raise InputError(f"{what}={value!r} must be one or more names, such as {what}=[a,b]")
    return list(dict.fromkeys(item.strip() for item in items))


def check_formats(value: Any) -> list[str]:
    """The formats of `format=`.

    Raises:
        InputError: one is not known.
    """
    formats = as_list(value, "format")
    for name in formats:
        if name not in FORMATS:
            raise InputError(f"format {name!r} is not known; choose from {', '.join(FORMATS)}")
    return formats
