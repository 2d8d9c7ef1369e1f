"""The command of an exported folder: people in images, folders, videos and cameras, without torch."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from supernet.errors import InputError, until_unread
from supernet.pose.grouping import DecodeOptions

from .frames import not_looked_into, open_frames
from .predicting import DRAW_SCORE, Summary, predict
from .predictor import Predictor
from .session import OnnxSession

EXIT_BAD_INPUT = 2
EXIT_STOPPED = 130
_REPORT_SECONDS = 2.0


@until_unread()
def main(home: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0, 2 when something could not be read, or 130 when it was stopped before the end.

    Args:
        home: the folder with `model.onnx`.
        arguments: of the command line.
    """
    options = _parser(home).parse_args(arguments)
    try:
        return _run(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT


def _parser(home: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Find people and their joints with an exported network.")
    parser.add_argument("source", help="an image, a folder of images, a video, or camera:0")
    parser.add_argument(
        "--out", type=Path, default=Path("predictions"), help="folder for the results (%(default)s)"
    )
    parser.add_argument("--model", type=Path, default=home / "model.onnx", help="ONNX file (%(default)s)")
    parser.add_argument(
        "--threads", type=int, default=None, help="threads of the network (default: all cores)"
    )
    parser.add_argument("--threshold", type=float, default=0.1, help="heatmap value of a joint (%(default)s)")
    parser.add_argument(
        "--min-score", type=float, default=0.0, help="leave out people below this score (%(default)s)"
    )
    parser.add_argument(
        "--flip", action="store_true", help="average with the mirrored image: better, half as fast"
    )
    parser.add_argument("--limit", type=int, default=None, help="stop after this many images")
    parser.add_argument("--no-draw", action="store_true", help="write results only")
    parser.add_argument(
        "--draw-score", type=float, default=DRAW_SCORE, help="draw people from this score on (%(default)s)"
    )
    parser.add_argument("--meter", action="store_true", help="write the frame rate into the pictures")
    return parser


def open_predictor(
    model: str | os.PathLike[str],
    threads: int | None = None,
    flip: bool = False,
    threshold: float = 0.1,
    min_score: float = 0.0,
) -> Predictor:
    """An exported ONNX file as a function from an image (H, W, 3) uint8 RGB to its `People`.

    Args:
        model: an ONNX file that `subnets.export` wrote.
        threads: of the network; None takes all cores.
        flip: average with the mirrored image.
        threshold: heatmap value above which a peak is a joint.
        min_score: people below this score are left out.

    Raises:
        InputError: the file is missing or no such network.
    """
    session = OnnxSession(model, threads)
    manifest = session.require_manifest().require_people()
    decode = DecodeOptions(threshold=threshold, matching=manifest.matching)
    return Predictor.of(session, manifest, decode, flip=flip, min_score=min_score)


def _run(options: argparse.Namespace) -> int:
    predictor = open_predictor(
        options.model, options.threads, options.flip, options.threshold, options.min_score
    )
    frames = open_frames(options.source, options.limit)
    report = _Report(frames.total)
    # The same command looks again at what it could not read.
    asked = {name: str(value) for name, value in vars(options).items() if name not in ("out", "threads")}
    asked["source"] = os.path.abspath(options.source)
    drawing = (not options.no_draw, options.meter, options.draw_score)
    summary = predict(frames, predictor, options.out, *drawing, report, asked=asked)
    for line in summary_lines(summary, options.out):
        print(line)
    if summary.lacking:
        print("not all was looked at; the same command looks at all again")
    for failure in summary.failures:
        print(f"error: {failure}", file=sys.stderr)
    return EXIT_BAD_INPUT if summary.failures else EXIT_STOPPED if summary.interrupted else 0


def summary_lines(summary: Summary, folder: Path) -> list[str]:
    """What was done, how fast, and where the time went."""
    busy = ", ".join(
        f"{step} {1000 * seconds / max(1, summary.frames):.1f}" for step, seconds in summary.busy.items()
    )
    stopped = ["stopped by hand; what was found until then is kept"] * summary.interrupted
    return [
        *stopped,
        f"{summary.frames} images, {summary.people} people of score {summary.draw_score:g} or more "
        f"(and {summary.weaker} below), {summary.rate:.1f} images/s; results in {folder}",
        f"ms per image (steps overlap): {busy}",
        *[not_looked_into(summary.deeper)] * (summary.deeper > 0),
    ]


class _Report:
    """A line on stderr now and then."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._printed = time.monotonic()

    def __call__(self, summary: Summary) -> None:
        now = time.monotonic()
        if now - self._printed >= _REPORT_SECONDS:
            self._printed = now
            of = f"/{self._total}" if self._total else ""
            print(f"{summary.frames}{of} images, {summary.rate:.1f} images/s", file=sys.stderr, flush=True)
