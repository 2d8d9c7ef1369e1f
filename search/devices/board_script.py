"""Times ONNX files on a device that has Python, numpy and onnxruntime, and nothing else.

    python measure.py [--threads 2] [--rounds 3] [--seconds 0.1] [--pin 0,1]

run in the folder that `search.profile device=board` wrote; it leaves `measured.csv`, to be brought back and
imported with `search.profile device=board device.csv=measured.csv`.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

Run = Callable[[], object]

HEADER = ("file", "round", "milliseconds", "runs")
WARM_UP = 2
FEWEST_RUNS = 3
MOST_RUNS = 200
PATIENCE = 4


def interruptions() -> int:
    """How often the system has taken a processor away from this process; 0 where it does not tell."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw if resource else 0


def time_once(run: Run, seconds: float) -> tuple[float, int]:
    """Median milliseconds, and of how many runs: after a warm-up, as many as `seconds` hold.

    The warm-up is two runs, or one where that alone takes the seconds.

    A run during which the system gave the processor to something else says nothing about the device: it
    counts only where even four times the seconds hold too few others.
    """
    start = time.perf_counter()
    for _ in range(WARM_UP):
        run()
        if time.perf_counter() - start >= seconds:
            break
    clean: list[float] = []
    disturbed: list[float] = []
    start = time.perf_counter()
    while True:
        before, begin = interruptions(), time.perf_counter()
        run()
        end = time.perf_counter()
        (clean if interruptions() == before else disturbed).append(1000.0 * (end - begin))
        enough = len(clean) >= FEWEST_RUNS
        if (
            end - start >= (seconds if enough else PATIENCE * seconds)
            and len(clean + disturbed) >= FEWEST_RUNS
        ):
            break
        if len(clean) >= MOST_RUNS:
            break
    counted = clean if enough else sorted(clean + disturbed)[: max(FEWEST_RUNS, len(clean))]
    return statistics.median(counted), len(counted)


def visit_order(count: int, rounds: int, seed: int = 0) -> list[list[int]]:
    """Which of `count` things is visited when: all of them in every round, each round in another order."""
    order = list(range(count))
    shuffle = random.Random(seed).shuffle
    found = []
    for _ in range(rounds):
        shuffle(order)
        found.append(order.copy())
    return found


def time_rounds(
    items: list[tuple[str, Callable[[], Run]]],
    rounds: int,
    seconds: float,
    told: Callable[[int], object] | None = None,
) -> dict[str, list[tuple[float, int]]]:
    """{name: [(milliseconds, runs) per round]} of (name, make) pairs, where `make()` gives something to run.

    Every round visits all items once in an order of its own, so that a device that heats up or is busy for a
    while slows all of them alike, and what it does can be told from what they take.
    """
    found: dict[str, list[tuple[float, int]]] = {name: [] for name, _ in items}
    done = 0
    for order in visit_order(len(items), rounds):
        for place in order:
            name, make = items[place]
            found[name].append(time_once(make(), seconds))
            done += 1
            if told is not None:
                told(done)
    return found


def pin(cores: list[int]) -> None:
    """Keep this process on these cores, where the system allows it."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(cores))


def open_session(model: Path | bytes, threads: int) -> Any:
    """An onnxruntime session on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    file = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def session_run(session: Any, seed: int = 0) -> Run:
    """A call that runs a session once on random numbers."""
    import numpy

    rng = numpy.random.default_rng(seed)
    feed = {item.name: rng.standard_normal(item.shape, dtype="float32") for item in session.get_inputs()}
    return lambda: session.run(None, feed)


def main() -> None:
    """Time every file of the manifest and write the CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.1, help="of measuring per file and round")
    parser.add_argument("--pin", default="", help="cores to stay on, for example 4,5")
    parser.add_argument("--output", default="measured.csv")
    arguments = parser.parse_args()
    if arguments.rounds < 2:
        parser.error("--rounds must be 2 or more: one round does not show how steady the device is")
    import onnxruntime

    folder = Path(__file__).resolve().parent
    manifest = json.loads((folder / "manifest.json").read_text())
    pin([int(core) for core in arguments.pin.split(",") if core])

    def make(name: str) -> Callable[[], Run]:
        return lambda: session_run(open_session(folder / name, arguments.threads))

    def told(done: int) -> None:
        if done % 20 == 0 or done == total:
            print(f"{done}/{total}", file=sys.stderr)

    total = arguments.rounds * len(manifest["files"])
    items = [(name, make(name)) for name in manifest["files"]]
    found = time_rounds(items, arguments.rounds, arguments.seconds, told=told)
    about = {
        "manifest": manifest["id"],
        "runtime": f"onnxruntime {onnxruntime.__version__}",
        "threads": arguments.threads,
        "device": f"{platform.machine()} {platform.processor()}".strip(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with open(arguments.output, "w", newline="") as file:
        file.write("# " + json.dumps(about) + "\n")
        writer = csv.writer(file)
        writer.writerow(HEADER)
        for name, rounds in found.items():
            for number, (milliseconds, runs) in enumerate(rounds):
                writer.writerow((name, number, f"{milliseconds:.6f}", runs))


if __name__ == "__main__":
    main()
