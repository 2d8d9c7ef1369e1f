"""Settings of `subnets.costs`; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
