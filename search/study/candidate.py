"""A candidate of a search, who evaluates it, and the Optuna trial that it is kept in."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from supernet.errors import InputError
from supernet.pose.protocols import main_metric
from supernet.space import Codes

from ..strategies.contract import Problem
from ..strategies.operators import as_codes
from ..strategies.plan import Row

SCHEMA = 2


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
    """The right to evaluate a candidate, renewed by its worker as long as it lives.

    It holds no moment of any clock: whoever waits for its end counts from when they first saw this `beat`.

    Attributes:
        worker: who has it.
        seconds: of silence after which others may take it.
        attempt: how many workers have had it so far, this one included.
        returned: how many of them were stopped and gave it back.
        beat: how often it was renewed.
    """

    worker: Worker
    seconds: float
    attempt: int = 1
    returned: int = 0
    beat: int = 0

    @classmethod
    def of(cls, trial: FrozenTrial) -> Lease | None:
        """The lease kept in a trial."""
        value = trial.user_attrs.get("lease")
        return cls(**{**value, "worker": _worker(**value["worker"])}) if value else None

    def to_dict(self) -> dict[str, Any]:
        """Plain form, kept in the trial."""
        return asdict(self)


@lru_cache(maxsize=256)
def _worker(host: str, process: str, key: str) -> Worker:
    """One object for all the leases of a worker."""
    return Worker(host, process, key)


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


State = Literal["planned", "running", "lost", "done", "failed"]


@dataclass(frozen=True)
class Candidate:
    """An architecture that is to be evaluated once.

    Attributes:
        number: its place in the order of planning.
        codes: (G,) row of the space.
        origin: `search`, `warm start`, `baseline` or `reference`.
        round: the round that planned it, and `index` its place there.
        costs: by name.
        state: planned, running, done, failed (given up), or lost: its worker died, a new trial is due.
        lease: who evaluates it, or did.
        stats: the metrics of the evaluation (`AP`, ...); empty before.
        seconds: duration of the evaluation, its recording included.
        label: the name of a reference.
        part: the images that score it, as in `Row.part`.
        trial_id: what the storage calls its latest trial.
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
    part: str = ""
    trial_id: int = -1

    @cached_property
    def row(self) -> Codes:
        """(G,) array."""
        return np.array(self.codes, dtype=np.int64)

    @cached_property
    def ap(self) -> float:
        """The measured main metric of the protocol in [0, 1], or below 0 where nobody could be scored."""
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


@cache
def _distribution(choices: tuple[int, ...]) -> CategoricalDistribution:
    return CategoricalDistribution(choices)


def as_trial(problem: Problem, row: Row, number: int, index: int) -> FrozenTrial:
    """The waiting trial of row `index` of round `number`.

    Its parameters are the genes that have an effect, without the choices of a block where there is but one.
    """
    space, codes = problem.space, row.array()[None]
    costs = problem.costs.predict(codes)[0].tolist()
    active = space.active(codes)[0]
    shown = [
        (gene, code)
        for gene, code, on in zip(space.genes, row.codes, active, strict=True)
        if on and (gene.block is None or len(gene.choices) > 1)
    ]
    return create_trial(
        state=TrialState.WAITING,
        params={gene.name: gene.choices[code] for gene, code in shown},
        distributions={gene.name: _distribution(gene.choices) for gene, _ in shown},
        user_attrs={
            "codes": list(row.codes),
            "arch": space.decode(codes)[0].to_dict(),
            "costs": dict(zip(problem.costs.names, costs, strict=True)),
            "origin": row.origin,
            "label": row.label,
            **({"part": row.part} if row.part else {}),
            "round": number,
            "index": index,
        },
    )


def _shared(value: Any) -> Any:
    """JSON whose texts and keys are one object each."""
    if isinstance(value, dict):
        return {sys.intern(key): _shared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shared(item) for item in value]
    return sys.intern(value) if type(value) is str else value


def slim(trial: FrozenTrial) -> None:
    """Let what is equal in many finished trials be one object: a storage reads a copy for every trial.

    Distributions and names are two thirds of what a trial takes of the memory.
    """
    trial.params, trial.user_attrs = _shared(trial.params), _shared(trial.user_attrs)
    trial.distributions = {
        sys.intern(name): _distribution(kind.choices) if isinstance(kind, CategoricalDistribution) else kind
        for name, kind in trial.distributions.items()
    }


def state_of(trial: FrozenTrial) -> State:
    """What the state of a trial says of its candidate."""
    if trial.state == TrialState.COMPLETE:
        return "done"
    if trial.state.is_finished():
        return "failed" if trial.user_attrs.get("given_up") else "lost"
    return "running" if trial.state == TrialState.RUNNING else "planned"


def tries_of(trial: FrozenTrial) -> tuple[int, int]:
    """`Lease.attempt` and `Lease.returned` of whoever has the trial, or of who takes it next."""
    attempt, returned = trial.user_attrs.get("tries", (1, 0))
    return attempt, returned


def place_of(trial: FrozenTrial) -> tuple[int, int]:
    """The round of a trial that `as_trial` made, and its index there."""
    with _written_by_a_search(trial):
        place = trial.user_attrs["round"], trial.user_attrs["index"]
        if not all(type(number) is int and number >= 0 for number in place):
            raise ValueError(f"round and index {place}")
        return place


def as_candidate(trial: FrozenTrial, number: int, problem: Problem) -> Candidate:
    """The candidate of a trial that `as_trial` made.

    Raises:
        InputError: it is none that a search of this problem has written.
    """
    attributes = trial.user_attrs
    with _written_by_a_search(trial):
        (codes,) = as_codes(problem.space, [attributes["codes"]], "codes")
        candidate = Candidate(
            number=number,
            codes=tuple(codes.tolist()),
            origin=attributes["origin"],
            round=attributes["round"],
            index=attributes["index"],
            costs={name: float(attributes["costs"][name]) for name in problem.costs.names},
            state=state_of(trial),
            lease=Lease.of(trial),
            stats=attributes.get("stats"),
            seconds=trial.duration.total_seconds() if trial.duration else 0.0,
            label=attributes["label"],
            part=attributes.get("part", ""),
            trial_id=trial._trial_id,
        )
        if candidate.state == "done":
            values = list(dict(candidate.stats or {}).values())
            if not values or not all(isinstance(value, int | float) for value in values):
                raise ValueError(f"scores {candidate.stats}")
        return candidate


@contextlib.contextmanager
def _written_by_a_search(trial: FrozenTrial) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"trial {trial.number} is none that a search has written ({error}); choose another name=..."
        ) from None
