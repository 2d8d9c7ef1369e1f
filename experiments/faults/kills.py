# ruff: noqa: E402, E501
"""SIGKILL at random moments of every command that writes; the same command again has to end the same.

    python experiments/faults/kills.py --kills 200 [--seed 0] [--command train] [--output DIR]

Every case starts a command, kills it once or twice (at a random moment, as soon as a temporary file shows, or just before
the nth time that it opens a file for writing, renames or removes one), starts it again and lets it end. It has to end well, with the files and the results of an unbroken run: none missing, none
more, hidden ones included. In a search with three workers either all processes are killed or one of them.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import contextlib
import functools
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import harness
from jobs import JOBS, Jobs, end_group, wait

# Those that the bar names; the others are as `audit` and `export` are.
KILLED = ("train", "search", "finetune", "export", "evaluate", "predict", "render")


# What Python tells of (sys.addaudithook) before it changes a folder.
CHANGES = (
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.truncate",
    "shutil.rmtree",
)


def killed_at(where: Path, counter: Path, number: int) -> harness.Limit:
    """A limit under which a command's whole group dies just before its `number`th change below `where`.

    Every process of the command counts, by a byte in the file `counter`.
    """

    def limit() -> None:
        place, count = str(where), os.open(counter, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            if event not in CHANGES or (event == "open" and not int(str(arguments[2] or 0)) & 3):
                return
            if isinstance(arguments[0], str | Path) and os.path.abspath(arguments[0]).startswith(place):
                os.write(count, b".")
                if os.fstat(count).st_size == number:
                    os.killpg(os.getpgid(0), signal.SIGKILL)

        sys.addaudithook(hook)

    return limit


def broken(jobs: Jobs, name: str, seed: int, index: int) -> tuple[str, str]:
    """One broken run; (`well` or what is wrong, what was done)."""
    draw = random.Random(f"{name} {seed} {index}")
    seconds, job = jobs.unbroken(name).seconds, JOBS[name]
    changes(jobs, name)
    folder = jobs.fresh(job)
    where, counter, done = folder / job.where, jobs.scratch / "changes", []
    for _ in range(draw.choice((1, 1, 2))):
        number = draw.randrange(1, changes(jobs, name) + 1) if draw.random() < 0.5 else 0
        child = jobs.start(name, folder, killed_at(where, counter, number) if number else None)
        if number:
            wait(child)
            end_group(child)
            done.append(f"killed at change {number}")
        else:
            done.append(break_off(child, where, draw, seconds, name == "search"))
    return jobs.ending(name, folder), ", then ".join(done)


@functools.cache
def changes(jobs: Jobs, name: str) -> int:
    """How often an unbroken run changes something in its folder."""
    folder, counter = jobs.fresh(JOBS[name]), jobs.scratch / "changes"
    wait(jobs.start(name, folder, killed_at(folder / JOBS[name].where, counter, 0)))
    jobs.fresh(JOBS[name])
    return counter.stat().st_size


def break_off(child: int, where: Path, draw: random.Random, seconds: float, several: bool) -> str:
    """Kill a started command; how."""
    begin, moment = time.monotonic(), draw.uniform(0, seconds)
    aimed = draw.random() < 0.5
    after = draw.randrange(12)
    seen: set[str] = set()
    while time.monotonic() - begin < (3 * seconds if aimed else moment):
        if aimed:
            seen |= hidden(where)
            if len(seen) > after:
                break
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.0003 if aimed else 0.002)
    members = sorted(harness.group(child))
    if several and len(members) > 1 and draw.random() < 0.5:
        victim = draw.choice(members)
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        # The others go on; a search whose first process died ends by itself.
        wait(child)
        end_group(child)
        return f"one of {len(members)} processes killed after {time.monotonic() - begin:.2f} s"
    end_group(child)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    how = f"at temporary file {len(seen)}" if aimed else "at a moment"
    return f"killed {how}, after {time.monotonic() - begin:.2f} of {seconds:.2f} s"


def hidden(where: Path) -> set[str]:
    """Temporary files and folders below `where`."""
    with contextlib.suppress(OSError):
        return {str(path) for path in where.rglob(".*") if path.name != ".lock"}
    return set()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=70)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append", choices=sorted(JOBS), default=[])
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    names = chosen.command or list(KILLED)
    rows = []
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        jobs = Jobs(Path(scratch))
        for number in range(chosen.first, chosen.first + chosen.kills):
            name, index = names[number % len(names)], number // len(names)
            outcome, what = broken(jobs, name, chosen.seed, index)
            rows.append({"command": name, "index": index, "done": what, "outcome": outcome})
            print(f"{name} {index}: {what} -> {outcome}", flush=True)
    counts = {
        name: Counter(row["outcome"] == "well" for row in rows if row["command"] == name) for name in names
    }
    print("| command | cases | as unbroken | not |\n|---|---|---|---|")
    for name, row in counts.items():
        print(f"| {name} | {row.total()} | {row[True]} | {row[False]} |")
    if chosen.output:
        chosen.output.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"schema": 1, "seed": chosen.seed, "cases": rows}, indent=1)
        (chosen.output / "kills.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
