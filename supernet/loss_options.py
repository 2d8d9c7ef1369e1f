"""The weights of the training loss; free of torch, so that configs load in an instant."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import InputError


@dataclass
class LossOptions:
    """How the terms of the training loss are weighted.

    Attributes:
        heat: weights of the heatmap errors at 1/4 and 1/2 scale.
        positive_weight: extra weight of a pixel at a joint's peak; 0 is the plain MSE of the paper. Plain MSE
            is dominated by background, so on small data the maps stay flat for long.
        pull: weight of drawing one person's tags together (HigherHRNet: 1e-3).
        push: weight of driving the tags of different people apart (HigherHRNet: 1e-3).
        distillation: weight of the heatmap error against the teacher.

    Raises:
        InputError: a weight is negative or not finite, or `heat` does not hold two weights.
    """

    heat: tuple[float, float] = (1.0, 1.0)
    positive_weight: float = 0.0
    pull: float = 1e-3
    push: float = 1e-3
    distillation: float = 1.0

    def __post_init__(self) -> None:
        if len(self.heat) != 2:
            raise InputError(f"loss weight heat has {len(self.heat)} values; give two (1/4 and 1/2 scale)")
        self.heat = (self.heat[0], self.heat[1])
        for name in ("heat", "positive_weight", "pull", "push", "distillation"):
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if not 0 <= number < float("inf"):
                    raise InputError(f"loss weight {name} is {number}; it must be 0 or more")
