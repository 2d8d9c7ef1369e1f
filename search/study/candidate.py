"""Who is evaluating a candidate, and until when nobody else may."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from supernet.pose.protocols import main_metric
from supernet.space import Codes


@dataclass(frozen=True)
class Worker:
    """One process that takes part in a search.

    Attributes:
        host: tells machines (and containers) apart.
        process: id and start time of the process, or an empty text where that cannot be known.
        key: unique among all workers.
    """

    host: str
    process: str
    key: str

    @classmethod
    def this(cls) -> Worker:
        """A worker in this process."""
        return cls(_host(), _process(os.getpid()), uuid.uuid4().hex[:12])

    def is_dead(self) -> bool:
        """True if the worker ran on this host and its process is gone; False where nobody can tell."""
        if not self.process or self.host != _host():
            return False
        return _process(int(self.process.partition(".")[0])) != self.process


@dataclass(frozen=True)
class Lease:
    """The right to evaluate a candidate.

    Attributes:
        worker: who has it.
        until: seconds since the epoch by the worker's clock.
        attempt: how many workers have had it so far, this one included.
        returned: how many of them were stopped and gave it back.
    """

    worker: Worker
    until: float
    attempt: int
    returned: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain form, kept in the trial."""
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Lease:
        """The lease that `to_dict` described."""
        returned = int(value.get("returned", 0))
        return cls(Worker(**value["worker"]), float(value["until"]), int(value["attempt"]), returned)

    def is_over(self, now: float | None = None) -> bool:
        """Whether anyone may take the candidate."""
        return (time.time() if now is None else now) >= self.until or self.worker.is_dead()


@lru_cache(maxsize=1)
def _host() -> str:
    """The host's name, boot and process-id namespace, so that equal process ids elsewhere are told apart."""
    parts = [socket.gethostname()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8])
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("?")
    return "/".join(parts)


def _process(pid: int) -> str:
    """`pid.start time`, or an empty text where the system does not tell (then only time counts)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    # A zombie has ended; its parent has just not asked yet.
    return "" if fields[0] == "Z" else f"{pid}.{fields[19]}"


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
        """The measured main metric of the protocol, in [0, 1]."""
        assert self.stats is not None
        return main_metric(self.stats)[1]

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
