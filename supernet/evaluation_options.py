"""How networks are scored; free of torch, so that configs load in an instant."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError


@dataclass
class EvaluationOptions:
    """Protocol of a scored evaluation.

    Attributes:
        images: score the first so many images of the split; None scores all.
        batch_size: images per forward pass.
        flip: average with the mirrored image.
        scales: test-time scales, multiples of the resolution.
        square: letterbox images into a square input, for networks that take only one shape.
        calibration_images: training images that set the batch-norm statistics of a subnet of a supernet.
    """

    images: int | None = None
    batch_size: int = 16
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    square: bool = False
    calibration_images: int = 64

    def __post_init__(self) -> None:
        for name in ("images", "batch_size", "calibration_images"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name}={value} must be 1 or more")
        if not self.scales or min(self.scales) <= 0:
            raise InputError(f"scales={list(self.scales)} must be positive numbers")
