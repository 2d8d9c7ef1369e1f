"""Averages of a step's figures since the last line of the log."""

from __future__ import annotations

from collections.abc import Mapping


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
