# ruff: noqa: E402, E501
"""SIGKILL at random moments of every command that writes; the same command again has to end the same.

    python experiments/faults/kills.py --kills 200 [--seed 0] [--command train] [--output DIR]

Every case starts a command, kills it once or twice (at a random moment, or as soon as a temporary file shows), starts
it again and lets it end. It has to end well, with the files and the results of an unbroken run: none missing, none
more, hidden ones included. In a search with three workers either all processes are killed or one of them.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import contextlib
import hashlib
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import harness
from run import digest_of, undamaged
from world import EVALUATE, EXPORT, FINETUNE, SEARCH, TRAIN

LIMIT = 600.0
RENDER = ("train=24", "val=6", "test=6", "size=64", "workers=2")


@dataclass(frozen=True)
class Command:
    """A command that is killed.

    Attributes:
        entry, arguments: how it is started.
        needs: what is copied of the undamaged files.
        where: the folder that it writes.
        moving: names in it that hold times and the like, and are not compared.
    """

    entry: str
    arguments: Sequence[str]
    needs: Sequence[str]
    where: str
    moving: Sequence[str] = ()


COMMANDS = {
    "train": Command(
        "supernet.train", ("name=k", *TRAIN, "train.steps=9"), ("data", "space.yaml"), "runs/train", ("log.jsonl", "*.png")
    ),
    "search": Command(
        "search.run",
        ("name=k", "supernet=runs/train/net", "budgets.macs=[0.6,0.9]", *SEARCH, "search.workers=3", "search.lease=4",
         "search.evaluations=6"),
        ("data", "runs/train/net"), "runs/search", ("study.journal", "*.html", "*.png", "*.csv"),
    ),
    "finetune": Command(
        "subnets.finetune", (*FINETUNE, "name=k", "train.steps=5"), ("data", "runs/search/s"), "runs/finetune",
        ("log.jsonl", "*.png"),
    ),
    "export": Command("subnets.export", (*EXPORT, "name=k"), ("data", "runs/search/s"), "runs/export", ("*.md", "*.onnx")),
    "evaluate": Command("subnets.evaluate", (*EVALUATE, "name=k"), ("data", "runs/export/e"), "runs/evaluate", ("*.png", "*.csv", "*.html", "*.md")),
    "predict": Command(
        "subnets.predict", ("arch=runs/export/e", "source=data/images", "name=k", "threads=1"), ("data", "runs/export/e"),
        "runs/predict",
    ),
    "render": Command(
        "supernet.audit",
        ("name=k", "data=synthetic", "data.root=drawn", "pixels=false", *(f"data.render.{each}" for each in RENDER)),
        ("space.yaml",), "drawn",
    ),
}  # fmt: skip


class Kills:
    """Unbroken runs, and broken ones to compare with them."""

    def __init__(self, scratch: Path, names: Sequence[str]) -> None:
        self.scratch = scratch
        # Only these two need what takes long to make.
        self.world = undamaged(scratch, quick=not {"evaluate", "predict"} & set(names))
        harness.import_learned(self.world / "modules.txt")
        self._unbroken: dict[str, tuple[dict[str, str], float]] = {}

    def unbroken(self, name: str) -> tuple[dict[str, str], float]:
        """What the command writes when nothing happens, and how long it takes."""
        if name not in self._unbroken:
            command = COMMANDS[name]
            harness.learn_modules(
                command.entry, command.arguments, self.fresh(command), self.scratch / "learned"
            )
            folder = self.fresh(command)
            begin = time.monotonic()
            done = wait(harness.start(command.entry, command.arguments, folder))
            seconds = time.monotonic() - begin
            if done:
                raise SystemExit(f"{name} fails unbroken: {said(folder)}")
            self._unbroken[name] = contents(command, folder), seconds
        return self._unbroken[name]

    def case(self, name: str, seed: int, index: int) -> tuple[str, str]:
        """One broken run; (`well` or what is wrong, what was done)."""
        draw = random.Random(f"{name} {seed} {index}")
        expected, seconds = self.unbroken(name)
        command = COMMANDS[name]
        folder = self.fresh(command)
        done = []
        for _ in range(draw.choice((1, 1, 2))):
            child = harness.start(command.entry, command.arguments, folder)
            done.append(break_off(child, folder / command.where, draw, seconds, name == "search"))
        code = wait(harness.start(command.entry, command.arguments, folder))
        what = ", then ".join(done)
        if code is None:
            return "hangs", what
        if code:
            return f"status {code}: {said(folder)}", what
        found = contents(command, folder)
        missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        other = sorted(name for name in expected.keys() & found.keys() if expected[name] != found[name])
        for label, names in (("missing", missing), ("litter", more), ("other content", other)):
            if names:
                return f"{label}: {', '.join(names[:4])}", what
        return "well", what

    def fresh(self, command: Command) -> Path:
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for need in command.needs:
            source, target = self.world / need, folder / need
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        return folder


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


def end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def wait(child: int) -> int | None:
    """The exit status; None if the process had to be killed for its time."""
    begin = time.monotonic()
    while time.monotonic() - begin < LIMIT:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    end_group(child)
    os.waitpid(child, 0)
    return None


def contents(command: Command, folder: Path) -> dict[str, str]:
    """The files below what the command writes, by content where that does not move."""
    found = {}
    for path in sorted((folder / command.where).rglob("*")):
        if path.is_dir() or "net" in path.relative_to(folder).parts:
            continue
        moving = any(path.match(pattern) for pattern in command.moving)
        found[str(path.relative_to(folder))] = "" if moving else plain_digest(path)
    return found


def plain_digest(path: Path) -> str:
    if path.suffix == ".yaml":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return digest_of(path)


def said(folder: Path) -> str:
    lines = harness.outputs(folder)[1].read_text(errors="replace").splitlines()
    return lines[-1][:300] if lines else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=70)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append", choices=sorted(COMMANDS), default=[])
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    names = chosen.command or list(COMMANDS)
    rows = []
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        kills = Kills(Path(scratch), names)
        for number in range(chosen.first, chosen.first + chosen.kills):
            name, index = names[number % len(names)], number // len(names)
            outcome, what = kills.case(name, chosen.seed, index)
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
