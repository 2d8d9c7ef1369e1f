"""Where the figures of a run go besides its JSONL log; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError

WANDB_MODES = ("online", "offline", "disabled")


@dataclass
class LoggerOptions:
    """The optional loggers; `log.jsonl` is always written.

    Attributes:
        tensorboard: write event files into `<run>/tensorboard`.
        wandb: log to Weights & Biases.
        wandb_mode: "online", "offline" (`wandb sync` uploads it later) or "disabled".
        project, entity, group, tags: of the Weights & Biases run; its name is the run folder's.
    """

    tensorboard: bool = False
    wandb: bool = False
    wandb_mode: str = "online"
    project: str = "litepose-ofa"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.wandb_mode not in WANDB_MODES:
            raise InputError(f"logger.wandb_mode={self.wandb_mode!r} is not one of {', '.join(WANDB_MODES)}")
