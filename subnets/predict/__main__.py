"""`python -m subnets.predict`: find people in images, folders, videos and cameras, and draw them."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.cli import launch
from supernet.errors import InputError
from supernet.options import (
    COUNTED,
    CommandOptions,
    Options,
    option,
    scales_option,
    threads_option,
)
from supernet.runs.folders import CONFIG_FILE, alone_in, claim_run_folder, hold_run_folder

from ..console import SourceOptions, register_slug

if TYPE_CHECKING:
    from ..portable.predicting import Summary
    from ..portable.predictor import Predictor
    from ..source import Opened


# Where the data of a supernet's training lie by now.
VOLATILE = ("data",)


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
    scales: list[float] = scales_option([1.0])
    threshold: float = 0.1
    tag_threshold: float = 1.0
    oks_nms: float | None = None
    matching: str | None = None
    max_people: int = option(30, least=1)
    min_score: float = 0.0
    draw: bool = True
    draw_score: float = 0.3
    meter: bool = False
    limit: int | None = option(None, least=1, most=COUNTED)


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


def main() -> None:
    """Run the command."""
    register_slug()
    launch("predict", PredictCommand, run, positional="source")


def run(config: PredictCommand, folder: Path) -> None:
    """Predict on `config.source` into `folder`, or say that it is done already.

    Raises:
        InputError: the source or the network is not there, or some of the source could not be read (the
        rest is kept).
    """
    from supernet.runs.progress import ProgressBar

    from ..portable.frames import open_frames
    from ..portable.main import EXIT_STOPPED, summary_lines
    from ..portable.outputs import RESULTS_FILE, UNREAD_FILE, remove_attempts
    from ..portable.predicting import predict
    from ..source import open_source

    if (folder / CONFIG_FILE).exists() and (folder / RESULTS_FILE).exists():
        claim_run_folder(folder, config, VOLATILE)
        # What could not be read may have been mended: then it is all looked at again.
        if not (folder / UNREAD_FILE).exists():
            # It may have been killed when all was done; a folder that is read-only by now is as good.
            with suppress(InputError, OSError), alone_in(folder):
                remove_attempts(folder)
            print(f"{folder} holds these predictions already; choose another name=... to predict again")
            return
    opened = open_source(config.arch, config).require_trained()
    predictor = open_predictor(config, opened)
    frames = open_frames(config.source, config.predict.limit)
    wanted = config.predict
    with hold_run_folder(folder, config, VOLATILE), ProgressBar("images", frames.total or 0) as bar:

        def progress(done: Summary) -> None:
            bar.update(done.frames, f"{done.rate:.1f} images/s, {done.people} people")

        summary = predict(
            frames, predictor, folder, wanted.draw, wanted.meter, wanted.draw_score, progress, ours=True
        )
    for line in summary_lines(summary, folder):
        print(line)
    if summary.failures:
        raise InputError(
            f"{listed(summary.failures)} (the other images are done: {summary.frames}); "
            "the same command looks at all of them again"
        )
    if summary.interrupted:
        sys.exit(EXIT_STOPPED)


def open_predictor(config: PredictCommand, opened: Opened) -> Predictor:
    """The network as a finder of people.

    Raises:
        InputError: a setting is out of range, or does not suit the network.
    """
    from supernet.pose.grouping import DecodeOptions

    from ..portable.predictor import Predictor
    from ..runtime import manifest_of, run_of

    wanted, manifest = config.predict, manifest_of(opened, config.runtime)
    decode = DecodeOptions(
        wanted.max_people,
        wanted.threshold,
        wanted.tag_threshold,
        oks_nms=wanted.oks_nms,
        matching=wanted.matching or manifest.matching,
    )
    run_ = run_of(opened, config.runtime, config.threads)
    use = {"flip": wanted.flip, "scales": tuple(wanted.scales), "min_score": wanted.min_score}
    return Predictor.of(run_, manifest, decode, **use)


def listed(failures: list[str], most: int = 5) -> str:
    """The first failures, and how many more there are."""
    more = f"; and {len(failures) - most} more" if len(failures) > most else ""
    return "; ".join(failures[:most]) + more


if __name__ == "__main__":
    main()
