"""Of several workers that want the same thing at the same moment, exactly one gets it."""

from __future__ import annotations

import time

from .store import StudyStore


class Claims:
    """Claims by numbered attempts: a thing whose holder has died is claimed again under the next number.

    Args:
        store: where the marks are.
        patience: seconds after which a winner that shows no lease is taken for dead.
    """

    def __init__(self, store: StudyStore, patience: float) -> None:
        self._store = store
        self._patience = patience
        # When this worker first found a mark standing.
        self._lost: dict[str, float] = {}

    def win(self, thing: str, attempt: int) -> int | None:
        """Claim `thing` for that attempt; the number won, or None if another worker was first."""
        while not self._store.mark(f"{thing}, {attempt}"):
            since = self._lost.setdefault(f"{thing}, {attempt}", time.monotonic())
            if time.monotonic() - since < self._patience:
                return None
            # Its winner died before it could write its lease.
            attempt += 1
        return attempt

    def settle(self, thing: str, attempt: int) -> None:
        """Take down the marks of a thing that is done with; its own state keeps others from it."""
        for number in range(1, attempt + 1):
            self._store.unmark(f"{thing}, {number}")

    def release(self, thing: str, attempt: int) -> None:
        """Take down the mark of a claim that was won for nothing."""
        self._store.unmark(f"{thing}, {attempt}")
