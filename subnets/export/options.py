"""Settings of `subnets.export`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.options import COUNTED, STARTED, CommandOptions, Options, option, threads_option

from ..console import SourceOptions

# (height, width) of pictures that fixed shapes are offered for.
RATIOS = {"4x3": (3, 4), "16x9": (9, 16)}
SHAPES = ("dynamic", "fixed", *RATIOS)
INT8_EXTENTS = ("mixed", "full", "tensor")


@dataclass
class ExportOptions(Options, group="export"):
    """What to write and how.

    Attributes:
        shapes: `dynamic` (batch, height and width free), `fixed` (one image of `input_shape`), or `4x3` and
            `16x9` (one image as wide as such pictures are; a square shrinks them and finds fewer people).
        input_shape: [height, width] for fixed shapes, multiples of 16; None means the square of the
            resolution.
        peaks: K > 0 ends the ONNX graph in the K best peaks per joint, with their tags, instead of maps;
            grouping then needs no maps (and cannot look for missed joints in them); of a one-stage head in K
            people; 0 keeps the maps; null is 30 people of a one-stage head, else maps.
        matching: the rule by which peaks join people: hungarian, greedy or first; null for the network's own.
        opset: the ONNX operator set, for converters that know older ones; for INT8 with a scale per channel
            13 or more.
        half: also write the format fp16, as `format=[onnx,fp16]` does.
        int8: how much of the format int8 is in INT8: `mixed` (transposed convolutions and the last
            convolution of each output stay float, weights have a scale per channel), `full` (transposed
            convolutions too), or `tensor` (as full, with one scale for all weights of a layer).
        tolerance: largest difference of a format from torch, relative to the largest output; INT8 is exempt.
        calibration_images: train images that set the ranges of INT8.
        score_images: images of the test split on which files are scored beside torch, which goes by maps; 0
            scores none, null all.
        latency_rounds: forward passes timed per format for the card; 0 times none.
        threads: of the timed runtimes; null leaves it to them.
        options: of formats that have some, as {FORMAT: {OPTION: value}}.
        bundle: add the small runtime with which the folder works without this toolkit and without torch, and
            what ports to other languages need: porting.md, decode.h, vectors.npz.
        vectors: rendered pictures in vectors.npz, with all that becomes of them; 0 writes none.
    """

    shapes: str = option("dynamic", among=SHAPES)
    input_shape: list[int] | None = None
    peaks: int | None = option(None, least=0)
    matching: str | None = None
    opset: int = option(18, least=11, most=18)
    half: bool = False
    int8: str = option(INT8_EXTENTS[0], among=INT8_EXTENTS)
    tolerance: float = option(1e-4, above=0, below=1)
    calibration_images: int = option(128, least=1, most=COUNTED)
    score_images: int | None = option(0, least=0, most=COUNTED)
    latency_rounds: int = option(20, least=0)
    threads: int | None = threads_option(None)
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    bundle: bool = True
    vectors: int = option(2, least=0, most=STARTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.input_shape is not None and (self.shapes != "fixed" or len(self.input_shape) != 2):
            raise InputError("export.input_shape is [height, width] and needs export.shapes=fixed")


@dataclass
class ExportCommand(SourceOptions, CommandOptions):
    """Settings of the command.

    Attributes:
        arch: what to export: a zoo name, an architecture file, a folder, or RUN:budget; or a list of them.
        name: of the export; its folder is runs/export/<name>.
        format: any of onnx, fp16, levelled, int8, torch_export, openvino, tflite, tflite_int8, executorch,
            executorch_int8, coreml, web and those of plugins; the safetensors folder is always written.
        data: train images for INT8, test images for scores and the picture.
    """

    arch: Any = "???"
    name: str = "default"
    format: Any = field(default_factory=lambda: ["onnx"])
    export: ExportOptions = field(default_factory=ExportOptions)
    data: DataConfig = field(default_factory=DataConfig)
