"""Settings of `subnets.costs`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from supernet.errors import InputError
from supernet.train_options import at_least


@dataclass
class CostsCommand:
    """Settings of the command.

    Attributes:
        arch: networks by name, description or folder; null lists all that ship.
        num_joints: J.
        input_shape: [height, width] for all; null takes each one's own.
    """

    arch: Any = None
    num_joints: int = 14
    input_shape: list[int] | None = None

    def __post_init__(self) -> None:
        at_least("num_joints", self.num_joints, 1)
        if self.input_shape is not None and len(self.input_shape) != 2:
            raise InputError(f"input_shape={self.input_shape} is not [height, width]")
