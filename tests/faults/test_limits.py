"""What a machine forbids a command that reads and writes: the small form of experiments/faults/limits.py."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "experiments" / "faults"))

import harness
import limits

from supernet.data.synthetic.dataset import SyntheticOptions, ensure

AUDIT = ("name=a", "data=crowdpose", "data.root=data", "splits=[val]", "pixels=false")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a small data set."""
    harness.import_heavy()
    (tmp_path / "here").mkdir()
    ensure(tmp_path / "here" / "data", SyntheticOptions(train=1, val=2, test=1, size=48, workers=1))
    return tmp_path / "here"


def ended(folder: Path, limit: harness.Limit | None = None) -> harness.Run:
    """How the audit ends in `folder` under a limit."""
    child = harness.start("supernet.audit", AUDIT, folder, limit=limit)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return harness.Run(code, 0, 0, False, *(path.read_text() for path in harness.outputs(folder)))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="rights are dropped as Linux does it")
@pytest.mark.parametrize(
    ("closed", "line"),
    [
        ("data", ""),
        ("runs", "runs/audit/a cannot be"),
        ("runs/audit/a", "runs/audit/a"),
        (".", "runs/audit/a cannot be"),
    ],
)
def test_a_read_only_folder_is_one_line_if_it_is_written_at_all(here: Path, closed: str, line: str) -> None:
    (here / "runs" / "audit").mkdir(parents=True)
    if not (here / closed).exists():
        ended(here)
    before = {path.name for path in here.rglob("*")}
    limits.set_writable(here / closed, False)
    done = ended(here, limits.obey_modes)
    limits.set_writable(here / closed, True)
    assert done.verdict() == ("refused" if line else "accepted"), done.err
    assert line in done.line()
    more = {path.name for path in here.rglob("*")} - before
    assert bool(more) == (not line)
    assert ended(here).code == 0


def test_twenty_starts_on_one_name_give_one_whole_run(here: Path) -> None:
    settings = harness.compose("supernet.audit", AUDIT)
    starts = []
    for number in range(20):
        printing = [here.with_name(f"{number}.{end}") for end in ("out", "err")]
        starts.append((harness.start("supernet.audit", AUDIT, here, settings, None, printing), printing))
    found: Counter[str] = Counter()
    for child, printing in starts:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found[harness.Run(code, 0, 0, False, *(path.read_text() for path in printing)).verdict()] += 1
    assert found["accepted"] >= 1
    assert found["accepted"] + found["refused"] == 20
    names = {path.name for path in (here / "runs/audit/a").rglob("*")}
    assert ended(here).code == 0
    assert {path.name for path in (here / "runs/audit/a").rglob("*")} == names
    assert not [name for name in names if name.startswith(".")]


def test_forty_open_files_are_enough(here: Path) -> None:
    assert ended(here, limits.few_files).code == 0
