"""What a machine forbids commands that read and write: the small form of experiments/faults/limits.py."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.append(str(Path(__file__).resolve().parents[2] / "experiments" / "faults"))

import harness
import limits
import world

from supernet.data.synthetic.dataset import SyntheticOptions, ensure


@dataclass(frozen=True)
class Command:
    """A command, its settings, and the folder of its run."""

    entry: str
    arguments: Sequence[str]
    run: str

    def start(
        self,
        folder: Path,
        limit: harness.Limit | None = None,
        settings: Any = None,
        printing: Sequence[Path] = (),
    ) -> int:
        return harness.start(self.entry, self.arguments, folder, settings, limit, printing)

    def ended(self, folder: Path, limit: harness.Limit | None = None) -> harness.Run:
        """How it ends in `folder` under a limit."""
        return over(self.start(folder, limit), harness.outputs(folder))


def over(child: int, printing: Sequence[Path]) -> harness.Run:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return harness.Run(code, 0, 0, False, *(path.read_text() for path in printing))


COMMANDS = (
    Command("supernet.audit", ("name=a", *world.DATA, "splits=[val]", "pixels=false"), "runs/audit/a"),
    Command("supernet.train", ("name=a", *world.TRAIN, "train.steps=1"), "runs/train/a"),
)
BOTH = pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.entry)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a small data set and a space."""
    harness.import_heavy()
    (tmp_path / "here").mkdir()
    ensure(tmp_path / "here" / "data", SyntheticOptions(train=2, val=2, test=1, size=48, workers=1))
    (tmp_path / "here" / "space.yaml").write_text(yaml.safe_dump(world.SPACE))
    return tmp_path / "here"


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rights are dropped as Linux does it")
@BOTH
def test_a_read_only_folder_is_one_line_if_it_is_written_at_all(here: Path, command: Command) -> None:
    (here / command.run).parent.mkdir(parents=True)
    for closed in ("runs", ".", "data", command.run):
        # The last two: what is only read, and a folder with a finished run.
        before = names(here)
        limits.set_writable(here / closed, False)
        done = command.ended(here, limits.obey_modes)
        limits.set_writable(here / closed, True)
        assert done.verdict() == ("accepted" if closed == "data" else "refused"), done.err
        assert closed == "data" or command.run in done.line()
        assert (names(here) != before) == (closed == "data")
    assert command.ended(here).code == 0


@BOTH
def test_twenty_starts_on_one_name_give_one_whole_run(here: Path, command: Command) -> None:
    settings = harness.compose(command.entry, command.arguments)
    starts = []
    for number in range(20):
        printing = [here.with_name(f"{number}.{end}") for end in ("out", "err")]
        starts.append((command.start(here, None, settings, printing), printing))
    found = Counter(over(child, printing).verdict() for child, printing in starts)
    assert found["accepted"] >= 1
    assert found["accepted"] + found["refused"] == 20, found
    left = names(here / command.run)
    assert command.ended(here).code == 0
    assert names(here / command.run) == left
    assert not [name for name in left if Path(name).name.startswith(".")]


@BOTH
def test_forty_open_files_are_enough(here: Path, command: Command) -> None:
    assert command.ended(here, limits.few_files).code == 0
