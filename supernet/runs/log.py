"""The log of a run: one JSON object a line in `log.jsonl`; TensorBoard and Weights & Biases if asked for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ..errors import InputError
from ..training.options import LoggerOptions
from .files import read_text, write_text
from .reading import one_key_once

SCHEMA = 1
# In a run's folder.
LOG = "log.jsonl"
# Fields that differ between two runs of the same command.
TIME_FIELDS = ("time", "seconds", "images_per_second")


class Sink(Protocol):
    """A place where a run's metrics and pictures go.

    Attributes:
        keeps: whether what it got beyond the checkpoint that a run resumes from stays there.
    """

    keeps: bool

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Metrics that belong to `step`."""

    def picture(self, step: int, name: str, path: Path) -> None:
        """A PNG that belongs to `step`."""

    def close(self) -> None:
        """No more will come."""


class RunLog:
    """Writes the log of one run.

    Every line holds `step`, `kind` ("train" or "validation") and `time` (Unix seconds) beside its metrics.
    A resumed run drops the lines beyond the checkpoint that it starts from, so that the log reads like an
    unbroken run's.

    Args:
        path: the JSONL file.
        sinks: further places for the same metrics.
        resume_step: steps that are done; 0 for a new run.
        logged: the step of the last line that was there when they were done.

    Raises:
        InputError: the existing log cannot be read, or ends before `logged`.
    """

    def __init__(self, path: Path, sinks: Sequence[Sink] = (), resume_step: int = 0, logged: int = 0) -> None:
        self.path = path
        self._sinks = tuple(sinks)
        lines = read_log(path) if path.exists() else []
        kept = [line for line in lines if line["step"] <= resume_step]
        last = max((line["step"] for line in kept), default=0)
        if path.exists() and last < logged:
            raise InputError(
                f"log {path} ends at step {last} and had lines to step {logged}; put it back, or remove it "
                "to go on without them"
            )
        self._sent = {(line.get("kind"), line["step"]) for line in lines if line["step"] > resume_step}
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        """Add a line for what is known after `step` steps."""
        line = {"schema": SCHEMA, "kind": kind, "step": step, "time": round(time.time(), 3), **values}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        metrics = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
        for sink in self._receivers(kind, step):
            sink.scalars(step, {f"{kind}/{name}": value for name, value in metrics.items()})

    def picture(self, step: int, name: str, path: Path) -> None:
        """Pass a PNG of a validation on to the sinks."""
        for sink in self._receivers("validation", step):
            sink.picture(step, name, path)

    def _receivers(self, kind: str, step: int) -> list[Sink]:
        """The sinks that have not got this before the run was killed: it repeats it bit for bit."""
        return [sink for sink in self._sinks if not (sink.keeps and (kind, step) in self._sent)]

    def sync(self) -> None:
        """Make sure that the lines are on disk, as a checkpoint is about to rely on them."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file and the sinks."""
        self._file.close()
        for sink in self._sinks:
            sink.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line that a crash cut short is left out.

    Raises:
        InputError: the log is missing, or another line is no JSON object with a `step` and a `kind`.
    """
    lines = read_text(path, "log").split("\n")
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            value = json.loads(line, object_pairs_hook=one_key_once)
        except ValueError:
            raise InputError(
                f"line {number} of log {path} is not valid JSON; mend or remove that line"
            ) from None
        is_object = isinstance(value, dict)
        if not (is_object and type(value.get("step")) is int and isinstance(value.get("kind", ""), str)):
            raise InputError(f"line {number} of log {path} has no step or no kind; mend or remove that line")
        found.append(value)
    return found


class Meters:
    """Sums and counts by name; plain numbers, so that a checkpoint keeps them exactly."""

    def __init__(self, state: Mapping[str, list[float]] | None = None) -> None:
        self._sums = {name: [float(total), float(count)] for name, (total, count) in (state or {}).items()}

    def add(self, values: Mapping[str, float]) -> None:
        """Count one step's values."""
        for name, value in values.items():
            entry = self._sums.setdefault(name, [0.0, 0.0])
            entry[0] += value
            entry[1] += 1

    def means(self) -> dict[str, float]:
        """The averages so far, six digits."""
        return {name: float(f"{total / count:.6g}") for name, (total, count) in self._sums.items()}

    def state(self) -> dict[str, list[float]]:
        """What the constructor takes."""
        return {name: list(entry) for name, entry in self._sums.items()}

    def clear(self) -> None:
        """Start a new line."""
        self._sums = {}


class TensorBoardSink:
    """Writes event files into `<run>/tensorboard`.

    Metrics beyond the step that a run resumes from are hidden by TensorBoard itself.
    """

    keeps = False

    def __init__(self, folder: Path, resume_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise _missing("tensorboard") from None
        self._writer: Any = SummaryWriter(folder / "tensorboard", purge_step=resume_step + 1)  # type: ignore[no-untyped-call]

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Metrics that belong to `step`."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, path: Path) -> None:
        """A PNG that belongs to `step`."""
        import cv2

        image: Any = cv2.imread(str(path))
        self._writer.add_image(name, image[:, :, ::-1].copy(), step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the event file."""
        self._writer.close()


class WandbSink:
    """Logs to Weights & Biases; a run that is taken up again goes on under the same id."""

    keeps = True

    def __init__(self, folder: Path, options: LoggerOptions, config: dict[str, Any]) -> None:
        try:
            import wandb
            from wandb.sdk.lib.runid import generate_id
        except ImportError:
            raise _missing("wandb") from None
        self._wandb: Any = wandb
        kept = folder / "wandb-id.txt"
        if not kept.exists():
            write_text(kept, generate_id())
        self._run: Any = wandb.init(
            project=options.project,
            entity=options.entity,
            group=options.group,
            tags=list(options.tags),
            name=folder.name,
            dir=str(folder),
            id=read_text(kept).strip(),
            resume="allow",
            mode=options.wandb_mode,  # type: ignore[arg-type]
            config=config,
            allow_val_change=True,  # of a raised number of steps
        )

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Metrics that belong to `step`."""
        self._run.log({**values, "step": step})

    def picture(self, step: int, name: str, path: Path) -> None:
        """A PNG that belongs to `step`."""
        self._run.log({name: self._wandb.Image(str(path)), "step": step})

    def close(self) -> None:
        """Finish the upload, or the offline record."""
        self._run.finish()


def open_sinks(folder: Path, options: LoggerOptions, config: dict[str, Any], resume_step: int) -> list[Sink]:
    """The sinks that `options` ask for, of the run in `folder`.

    Raises:
        InputError: a package is not installed; the line says how to install it.
    """
    makers: list[tuple[bool, Callable[[], Sink]]] = [
        (options.tensorboard, lambda: TensorBoardSink(folder, resume_step)),
        (options.wandb, lambda: WandbSink(folder, options, config)),
    ]
    return [make() for wanted, make in makers if wanted]


def _missing(package: str) -> InputError:
    return InputError(f"logger={package} needs the package {package}: pip install 'litepose-ofa[{package}]'")


def logged_metric(line: Mapping[str, Any]) -> str:
    """The main metric of a validation's line, which its scores begin with, without the subnet's name."""
    own = ("schema", "kind", "step", "time")
    return next((name.partition("/")[0] for name in line if name not in own), "AP")
