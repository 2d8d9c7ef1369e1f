"""Where a run's figures go besides its JSONL log: TensorBoard and Weights & Biases, each optional."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..training.options import LoggerOptions
from .files import read_text, write_text
from .log import Sink


class TensorBoardSink:
    """Writes event files into `<run>/tensorboard`.

    Figures beyond the step that a run resumes from are hidden by TensorBoard itself.
    """

    def __init__(self, folder: Path, resume_step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise _missing("tensorboard") from None
        self._writer: Any = SummaryWriter(folder / "tensorboard", purge_step=resume_step + 1)  # type: ignore[no-untyped-call]

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Figures that belong to `step`."""
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
        )

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Figures that belong to `step`."""
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
