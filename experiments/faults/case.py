"""What is done with one folder of damaged files, and the register of it by the folder's name."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import harness

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Case:
    """One folder of damaged files on its way through a command.

    Attributes:
        given: the folder.
        here: where the command runs.
        world: the undamaged files.
    """

    given: Path
    here: Path
    world: Path

    def take(self, *needs: str) -> None:
        """Copy undamaged files."""
        for need in needs:
            source, target = self.world / need, self.here / need
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)

    def put(self, name: str, target: str) -> None:
        """Put a damaged file to its place."""
        (self.here / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.given / name, self.here / target)

    def run(self, entry: harness.Entry, *arguments: str) -> harness.Run:
        """Run a command."""
        return harness.run(entry, arguments, self.here)

    def program(self, *words: str) -> harness.Run:
        """Run a program that is no command of ours."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            words, cwd=self.here, env=environment, capture_output=True, text=True, check=False
        )
        return harness.Run(done.returncode, 0, 0, False, done.stdout, done.stderr)


Answers = list[tuple[str, harness.Run, str]]
CASES: dict[str, Callable[[Case], Answers]] = {}


def case(*names: str) -> Callable[[Callable[[Case], Answers]], Callable[[Case], Answers]]:
    """Register what is done with a folder: it gives (what was done, how it ended, what else was found)."""

    def add(work: Callable[[Case], Answers]) -> Callable[[Case], Answers]:
        CASES.update(dict.fromkeys(names, work))
        return work

    return add
