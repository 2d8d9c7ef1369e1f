# ruff: noqa: E501
"""The commands that write, each with a small job: what it needs, what it makes, and what an unbroken run leaves."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from run import digest_of, undamaged
from world import DATA, EVALUATE, EXPORT, FINETUNE, PROFILE, SEARCH, TRAIN

LIMIT = 600.0
RENDER = ("train=24", "val=6", "test=6", "size=64", "workers=2")
TABLES = ("*.png", "*.csv", "*.html", "*.md")
TOPDOWN = ("steps=2", "batch_size=2", "calibration=2", "images=2")
LPN = """schema: 1
family: lpn
input_shape: [96, 64]
settings:
  depths: [1, 1, 1, 1]
  widths: [8, 16, 16, 32]
  deconvs: [16, 16]
"""


@dataclass(frozen=True)
class Job:
    """A command with what it needs.

    Attributes:
        entry, arguments: how it is started.
        needs: what is copied of the undamaged files.
        where: the folder that it writes.
        moving: names in it that hold times and the like, and are not compared.
        texts: files that are written beside, by name.
        once: whether it refuses to start again when all is done.
    """

    entry: str
    arguments: Sequence[str]
    needs: Sequence[str]
    where: str
    moving: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    once: bool = False


JOBS = {
    "train": Job(
        "supernet.train", ("name=k", *TRAIN, "train.steps=9"), ("data", "space.yaml"), "runs/train", ("log.jsonl", "*.png")
    ),
    "search": Job(
        "search.run",
        ("name=k", "supernet=runs/train/net", "budgets.macs=[0.6,0.9]", *SEARCH, "search.workers=3", "search.lease=4",
         "search.evaluations=6"),
        ("data", "runs/train/net"), "runs/search", ("study.journal", *TABLES[:3]),
    ),
    "finetune": Job(
        "subnets.finetune", (*FINETUNE, "name=k", "train.steps=5"), ("data", "runs/search/s"), "runs/finetune",
        ("log.jsonl", "*.png"),
    ),
    "export": Job("subnets.export", (*EXPORT, "name=k"), ("data", "runs/search/s"), "runs/export", ("*.md", "*.onnx")),
    "evaluate": Job("subnets.evaluate", (*EVALUATE, "name=k"), ("data", "runs/export/e"), "runs/evaluate", TABLES),
    "predict": Job(
        "subnets.predict", ("arch=runs/export/e", "source=data/images", "name=k", "threads=1"), ("data", "runs/export/e"),
        "runs/predict",
    ),
    "render": Job(
        "supernet.audit",
        ("name=k", "data=synthetic", "data.root=drawn", "pixels=false", *(f"data.render.{each}" for each in RENDER)),
        ("space.yaml",), "drawn",
    ),
    "audit": Job("supernet.audit", ("name=k", *DATA, "splits=[val]", "pixels=false"), ("data",), "runs/audit", TABLES),
    "profile": Job(
        "search.profile", ("name=k", *PROFILE, "device.csv=measured.csv"), ("space.yaml", "measured.csv"), "runs/profile", TABLES
    ),
    "convert": Job(
        "subnets.convert", ("arch=arch.yaml", "weights=weights.pth", "name=k"), ("arch.yaml", "weights.pth"), "runs/convert",
        once=True,
    ),
    "benchmark": Job(
        "subnets.benchmark",
        ("arch=runs/export/e", "runtime=torch", "name=k", "threads=1", "benchmark.rounds=1", "benchmark.warmup=0"),
        ("runs/export/e",), "runs/benchmark", (*TABLES, "*.json"), once=True,
    ),
    "topdown": Job(
        "subnets.topdown",
        ("arch=lpn.yaml", "name=k", *DATA, "threads=1", *(f"topdown.{each}" for each in TOPDOWN)),
        ("data",), "runs/topdown", texts={"lpn.yaml": LPN},
    ),
    "sweep": Job("supernet.sweep", ("runs=runs/train/lr",), ("runs/train/lr",), "runs/train/lr", ("*.png",)),
}  # fmt: skip


@dataclass(frozen=True)
class Unbroken:
    """What an unbroken run writes, how long it takes, and how many kB its files fill."""

    contents: Mapping[str, str]
    seconds: float
    kilobytes: int


class Jobs:
    """Unbroken runs, and folders for others to compare with them."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.world = undamaged(scratch)
        harness.import_learned(self.world / "modules.txt")
        self._unbroken: dict[str, Unbroken] = {}
        self._settings: dict[str, Any] = {}

    def unbroken(self, name: str) -> Unbroken:
        """What the command does when nothing happens."""
        if name not in self._unbroken:
            job = JOBS[name]
            self._settings[name] = harness.compose(job.entry, job.arguments)
            folder = self.fresh(job)
            known = self.scratch / "learned"
            harness.learn_modules(job.entry, job.arguments, folder, known, self._settings[name])
            folder = self.fresh(job)
            given = set(folder.rglob("*"))
            begin = time.monotonic()
            if wait(harness.start(job.entry, job.arguments, folder, self._settings[name])):
                raise SystemExit(f"{name} fails unbroken: {said(folder)}")
            seconds = time.monotonic() - begin
            made = set((folder / job.where).rglob("*")) - given
            self._unbroken[name] = Unbroken(contents(job, folder), seconds, sum(map(kilobytes, made)))
        return self._unbroken[name]

    def start(
        self, name: str, folder: Path, limit: harness.Limit | None = None, printing: Sequence[Path] = ()
    ) -> int:
        """Start the command; the number of its process, which leads a group of its own."""
        self.unbroken(name)
        job = JOBS[name]
        return harness.start(job.entry, job.arguments, folder, self._settings[name], limit, printing)

    def fresh(self, job: Job) -> Path:
        """A new folder with what the command needs."""
        folder = self.scratch / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for need in job.needs:
            source, target = self.world / need, folder / need
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        for file, text in job.texts.items():
            (folder / file).write_text(text)
        return folder

    def ending(self, name: str, folder: Path, limit: harness.Limit | None = None) -> str:
        """Run the command once more to its end: "well" if all is as unbroken, else what is not."""
        code = wait(self.start(name, folder, limit))
        if code is None:
            return "hangs"
        found = self.compared(name, folder)
        done = code == 0 or (JOBS[name].once and "already" in said(folder))
        return found if done else f"status {code}: {said(folder)}"

    def compared(self, name: str, folder: Path) -> str:
        """ "well" if the files are those of an unbroken run, else what is missing, more, or other."""
        expected, found = self.unbroken(name).contents, contents(JOBS[name], folder)
        missing, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        other = sorted(file for file in expected.keys() & found.keys() if expected[file] != found[file])
        for label, files in (("missing", missing), ("litter", more), ("other content", other)):
            if files:
                return f"{label}: {', '.join(files[:4])}"
        return "well"


def kilobytes(path: Path) -> int:
    """What a file fills of a disk."""
    return 4 * -(-path.stat().st_size // 4096) if path.is_file() else 0


def contents(job: Job, folder: Path) -> dict[str, str]:
    """The files below what the command writes, by content where that does not move."""
    found = {}
    for path in sorted((folder / job.where).rglob("*")):
        name = path.relative_to(folder)
        if path.is_dir() or any(name.is_relative_to(need) for need in job.needs if need != job.where):
            continue
        moving = any(path.match(pattern) for pattern in job.moving)
        found[str(name)] = "" if moving else plain_digest(path)
    return found


def plain_digest(path: Path) -> str:
    if path.suffix == ".yaml":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return digest_of(path)


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


def said(folder: Path) -> str:
    """The last line that a command printed."""
    lines = harness.outputs(folder)[1].read_text(errors="replace").splitlines()
    return lines[-1][:300] if lines else ""
