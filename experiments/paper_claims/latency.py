"""Measure LitePose-XS/S/M/L and all comparison networks in onnxruntime, interleaved in one run.

    python -m experiments.paper_claims.latency export               # ONNX files into runs/paper_claims/
    python -m experiments.paper_claims.latency measure --threads 1
    python -m experiments.paper_claims.latency measure --threads 2

Everything goes into runs/paper_claims/ (rounds_T.csv, environment_T.json); `report --record` makes it the
record. The unit of the statistics is a start: a process of its own, whose rounds are kept when it ends.
Starts that are there already count; another machine, version or network is refused. The slow networks run in
every third round.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from experiments.paper_claims.rounds import NAMES, RUN, add_start, check_environment, networks_now
from subnets.benchmark.benchmarking import file_for, open_runs, timed
from subnets.benchmark.options import BenchmarkOptions
from subnets.source import Opened, open_source
from supernet.cli import fail
from supernet.errors import InputError
from supernet.family import load_arch
from supernet.runs.environment import environment

SLOW = {"higherhrnet-w32": 3, "higherhrnet-w48": 3}
# Idle threads of the network before spin on for tens of milliseconds; until then the timed one calls in vain.
SETTLE = 0.1


def timed_rounds(
    candidates: Mapping[str, Callable[[], object]],
    seed: int = 0,
    lead_in: int = 0,
    *,
    settle: float = 0.0,
    every: Mapping[str, int] | None = None,
) -> Iterator[dict[str, float]]:
    """Milliseconds of one call of each of `candidates`, round after round, for as long as they are taken.

    A slow phase of the machine then hits all of them alike, and none always runs in the wake of another.

    Args:
        candidates: what to call, by name.
        seed: of the order within rounds.
        lead_in: calls of the same candidate right before each measured one. Threads of a runtime go on
            spinning for a while after a call and would take a core from the next candidate.
        settle: seconds that these calls take at least, for which more of them are made.
        every: candidates that run in every n-th round only, the first one included, with their n.
    """
    names = list(candidates)
    for round_ in itertools.count():
        found = {}
        for index in np.random.default_rng([seed, round_]).permutation(len(names)):
            name = names[index]
            if round_ % (every or {}).get(name, 1):
                continue
            call, ready = candidates[name], time.perf_counter() + settle
            for _ in range(lead_in):
                call()
            while lead_in and time.perf_counter() < ready:
                call()
            start = time.perf_counter()
            call()
            found[name] = 1000 * (time.perf_counter() - start)
        yield found


def export(folder: Path) -> None:
    """Each network with random weights, batch norms folded, as an ONNX file of free shape."""
    for name in NAMES:
        path = folder / f"{name}.onnx"
        if path.exists() and open_source(str(path)).arch == load_arch(name):
            continue
        path.unlink(missing_ok=True)
        file_for(name, open_source(name), "onnxruntime", folder).rename(path)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


def open_exported(folder: Path) -> dict[str, Opened]:
    """The exported networks.

    Raises:
        InputError: one is missing, or was described otherwise when it was exported.
    """
    found = {}
    for name in NAMES:
        path = folder / f"{name}.onnx"
        if not path.exists() or (opened := open_source(str(path))).arch != load_arch(name):
            raise InputError(f"{path} is missing or out of date; run the export part first")
        found[name] = opened
    return found


def start(folder: Path, threads: int, seconds: float) -> None:
    """One start: a call of each network, then rounds until the time is over; none is broken off.

    Raises:
        InputError: the networks are not exported, or earlier starts had another environment.
    """
    found = {**environment(threads), "networks": dict(networks_now())}
    number = check_environment(folder, threads, found)
    networks = open_exported(folder)
    runs = open_runs(networks, ["onnxruntime"], threads, folder)
    calls = {
        name: timed(BenchmarkOptions(), networks[name], runtime, run).call
        for (name, runtime), run in runs.items()
    }
    for call in calls.values():
        call()
    rounds, began, passed = [], time.monotonic(), 0.0
    # Every start has orders of its own.
    for round_ in timed_rounds(calls, 100 * threads + number, lead_in=1, settle=SETTLE, every=SLOW):
        rounds.append(round_)
        passed = time.monotonic() - began
        if passed * (1 + 1 / len(rounds)) > seconds:
            break
    add_start(folder, threads, found, rounds)
    print(f"start {number}, {threads} threads: {len(rounds)} rounds in {passed:.0f} s", file=sys.stderr)


def measure(folder: Path, threads: int, starts: int, seconds: float) -> None:
    """Start as often as `folder` lacks starts, each in a process of its own."""
    begin = check_environment(folder, threads, {**environment(threads), "networks": dict(networks_now())})
    line = [sys.executable, "-m", "experiments.paper_claims.latency", "start"]
    options = ["--folder", str(folder), "--threads", str(threads), "--seconds", str(seconds)]
    for _ in range(begin, starts):
        status = subprocess.run([*line, *options], check=False).returncode
        if status:
            sys.exit(status)


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    for part in ("export", "measure", "start"):
        options = parts.add_parser(part)
        options.add_argument("--folder", type=Path, default=RUN)
        if part != "export":
            options.add_argument("--threads", type=int, required=True)
            options.add_argument("--seconds", type=float, default=45.0, help="of rounds, per start")
        if part == "measure":
            options.add_argument("--starts", type=int, default=8)
    given = vars(parser.parse_args())
    try:
        {"export": export, "measure": measure, "start": start}[given.pop("part")](**given)
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main()
