"""The measured rounds of one thread count: a table of milliseconds, and what they were measured under."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from supernet.cost import count_macs
from supernet.errors import InputError
from supernet.family import load_arch
from supernet.runs.files import read_json, read_text, write_json, write_text

RECORD = Path(__file__).resolve().parent
RUN = Path("runs/paper_claims")
JOINTS = 14
THREADS = (1, 2)
LITEPOSE = ("litepose-xs", "litepose-s", "litepose-m", "litepose-l")
OTHERS = (
    *(f"efficienthrnet-h{level}" for level in (1, 2, 3, 4)),
    *(f"higherhrnet-w{width}" for width in (16, 24, 32, 48)),
    "lightweight-openpose",
    "lpn-50",
    "lpn-101",
)
NAMES = (*LITEPOSE, *OTHERS)
COLUMNS = ("start", "round", "network", "milliseconds")
MEND = "python -m experiments.paper_claims.latency measure"


@dataclass(frozen=True)
class Rounds:
    """What was measured with one thread count.

    Attributes:
        environment: processor, cores, threads, versions, and the networks with their exact MACs.
        starts: per start of the process its rounds, each milliseconds by network.
    """

    environment: Mapping[str, Any]
    starts: Sequence[Sequence[Mapping[str, float]]]

    def values(self, name: str) -> list[float]:
        """Milliseconds of a network in all rounds that hold it."""
        return [round_[name] for rounds in self.starts for round_ in rounds if name in round_]

    def ratios(self, first: str, second: str) -> list[list[float]]:
        """Per start the first network's time over the second's, in the rounds that hold both."""
        return [
            [round_[first] / round_[second] for round_ in rounds if first in round_ and second in round_]
            for rounds in self.starts
        ]


def files(folder: Path, threads: int) -> tuple[Path, Path]:
    """Where the rounds and their environment lie."""
    return folder / f"rounds_{threads}.csv", folder / f"environment_{threads}.json"


@lru_cache(maxsize=1)
def networks_now() -> Mapping[str, int]:
    """Exact MACs of all networks as they are described now."""
    return MappingProxyType({name: count_macs(load_arch(name), JOINTS) for name in NAMES})


def read_rounds(folder: Path, threads: int) -> Rounds:
    """What `folder` holds of that thread count.

    Raises:
        InputError: nothing, a file of an older form, or rounds of networks that are described otherwise now.
    """
    table, where = files(folder, threads)
    if not table.exists():
        raise InputError(f"{table} does not exist: nothing was measured; run {MEND} --threads {threads}")
    environment = read_json(where, "environment")
    rows = list(csv.DictReader(io.StringIO(read_text(table, "rounds"))))
    if not rows or set(rows[0]) != set(COLUMNS) or "networks" not in environment:
        raise InputError(f"{table} has an older form, or none; measure again into {RUN}")
    now = networks_now()
    changed = [name for name, macs in now.items() if environment["networks"].get(name) != macs]
    if changed:
        raise InputError(f"{table} was measured with other networks ({', '.join(changed)}); measure again")
    starts: dict[int, dict[int, dict[str, float]]] = {}
    for row in rows:
        round_ = starts.setdefault(int(row["start"]), {}).setdefault(int(row["round"]), {})
        round_[row["network"]] = float(row["milliseconds"])
    return Rounds(environment, [list(rounds.values()) for rounds in starts.values()])


def add_start(
    folder: Path, threads: int, environment: Mapping[str, Any], rounds: Sequence[Mapping[str, float]]
) -> None:
    """Put the rounds of one more start after those that `folder` holds.

    Raises:
        InputError: see `check_environment`.
    """
    table, where = files(folder, threads)
    number = check_environment(folder, threads, environment)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if number == 0:
        writer.writerow(COLUMNS)
        write_json(where, dict(environment))
    for place, round_ in enumerate(rounds):
        writer.writerows((number, place, name, f"{value:.3f}") for name, value in round_.items())
    before = table.read_text(encoding="utf-8") if number else ""
    write_text(table, before + stream.getvalue())


def check_environment(folder: Path, threads: int, environment: Mapping[str, Any]) -> int:
    """How many starts `folder` holds of that thread count, all in the same environment.

    Raises:
        InputError: they were taken under others: another machine, version or network.
    """
    table, _ = files(folder, threads)
    if not table.exists():
        return 0
    known = read_rounds(folder, threads)
    keys = sorted({*known.environment, *environment})
    changed = [key for key in keys if known.environment.get(key) != environment.get(key)]
    if changed:
        what = ", ".join(
            f"{key}: {known.environment.get(key)!r} there, {environment.get(key)!r} now" for key in changed
        )
        raise InputError(f"{table} was measured in another environment ({what}); move {folder} away first")
    return len(known.starts)
