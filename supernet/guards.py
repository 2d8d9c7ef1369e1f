"""What stops a training run that has gone wrong, with one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .errors import InputError
from .train_options import GuardOptions


class NonFiniteGuard:
    """Counts skipped steps and stops the run when there are too many.

    Attributes:
        in_all, in_a_row: skipped steps so far, and since the last good one.
    """

    def __init__(self, options: GuardOptions, last_good: Callable[[], Path | None]) -> None:
        self._options = options
        self._last_good = last_good
        self.in_all = 0
        self.in_a_row = 0

    def record(self, step: int, good: bool) -> None:
        """Count `step`.

        Raises:
            InputError: too many steps were skipped.
        """
        self.in_a_row = 0 if good else self.in_a_row + 1
        self.in_all += not good
        if self.in_a_row >= self._options.in_a_row or self.in_all >= self._options.in_all:
            raise InputError(
                f"training stopped at step {step}: {self.in_all} steps had a loss or gradient that is not "
                f"finite, the last {self.in_a_row} in a row; the last good checkpoint is "
                f"{self._last_good() or 'none'}; start a new run with a lower train.optimizer.lr or a "
                "smaller train.optimizer.clip"
            )
