"""Settings of `subnets.predict`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass, field

from supernet.options import CommandOptions, Options, option, threads_option

from ..console import SourceOptions


@dataclass
class PredictOptions(Options, group="predict"):
    """How the network is used and what is written.

    Attributes:
        flip: average with the mirrored image: better, half as fast.
        scales: multi-scale test, multiples of the resolution.
        threshold: heatmap value above which a peak is a joint; > 0.
        tag_threshold: largest tag distance at which a joint joins a person; > 0.
        oks_nms: leave out people whose OKS with a better one exceeds this (0..1); null keeps all.
        matching: how joints join people: hungarian, greedy or first; null for the network's own rule.
        max_people: at most this many people in an image.
        min_score: people below this score are left out.
        draw: write pictures (or a video) with the skeletons.
        draw_score: people below this score are left out of the pictures (not of the results).
        meter: write the frame rate into the pictures.
        limit: stop after this many images; null reads all.
    """

    flip: bool = False
    scales: list[float] = option([1.0], above=0)
    threshold: float = 0.1
    tag_threshold: float = 1.0
    oks_nms: float | None = None
    matching: str | None = None
    max_people: int = option(30, least=1)
    min_score: float = 0.0
    draw: bool = True
    draw_score: float = 0.3
    meter: bool = False
    limit: int | None = option(None, least=1)


@dataclass
class PredictCommand(SourceOptions, CommandOptions):
    """Settings of the command.

    Attributes:
        source: an image, a folder of images, a video, or camera:0.
        arch: the network: a folder, RUN:budget, an .onnx file, a supernet that ships or NAME:subnet, or a
            name with weights= or supernet=.
        name: of the run; its folder is runs/predict/<name>.
        runtime: torch, onnxruntime, openvino, torch.export, litert, executorch, or auto (torch, but for a
            file the one that runs it).
        threads: of the network; null leaves it to the runtime.
    """

    source: str = "???"
    arch: str = "photographs"
    name: str = "default"
    runtime: str = "auto"
    threads: int | None = threads_option(None)
    predict: PredictOptions = field(default_factory=PredictOptions)
