"""One candidate of a search, planned, running or evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from typing import Literal

import numpy as np

from supernet.space import Codes

from .lease import Lease

State = Literal["planned", "running", "done", "failed"]
# How a candidate came to be evaluated.
SEARCH, WARM, BASELINE, REFERENCE = "search", "warm start", "baseline", "reference"


@dataclass(frozen=True)
class Candidate:
    """An architecture that is to be evaluated once.

    Attributes:
        number: of its trial.
        codes: (G,) row of the space.
        origin: `search`, `warm start`, `baseline` or `reference`.
        round: the round that planned it, and `index` its place there.
        costs: by name.
        state: planned, running, done or failed.
        lease: who evaluates it, or did.
        stats: the figures of the evaluation (`AP`, ...); empty before.
        seconds: duration of the evaluation.
        label: the name of a reference.
        trial_id: what the storage calls the trial.
    """

    number: int
    codes: tuple[int, ...]
    origin: str
    round: int
    index: int
    costs: Mapping[str, float]
    state: State = "planned"
    lease: Lease | None = None
    stats: Mapping[str, float] | None = None
    seconds: float = 0.0
    label: str = ""
    trial_id: int = -1

    @property
    def row(self) -> Codes:
        """(G,) array."""
        return np.array(self.codes, dtype=np.int64)

    @property
    def ap(self) -> float:
        """Measured AP in [0, 1]."""
        assert self.stats is not None
        return float(self.stats["AP"])

    def to_dict(self) -> dict[str, Any]:
        """Plain form for `candidates.json`."""
        return {
            "number": self.number,
            "origin": self.origin,
            "label": self.label,
            "round": self.round,
            "codes": list(self.codes),
            "costs": dict(self.costs),
            "stats": dict(self.stats or {}),
            "seconds": round(self.seconds, 3),
        }
