"""Systems without POSIX's calls (Windows) or Linux's (macOS): what they lack is taken away, not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WITHOUT = """
import os, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
for name in ("sched_getaffinity", "sched_setaffinity", "sysconf", "geteuid", "getuid", "fork"):
    delattr(os, name)
plain_open = os.open
def open_file(path, *rest, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return plain_open(path, *rest, **more)
os.open = open_file
"""
FILES = """
from dataclasses import dataclass
from pathlib import Path
from supernet.runs.files import new_folder, remove_litter, write_json, read_json
from supernet.runs.folders import hold_run_folder, in_turn
@dataclass
class Settings:
    steps: int = 1
folder = Path("run")
for _ in range(2):
    with hold_run_folder(folder, Settings()):
        write_json(folder / "a.json", [1])
remove_litter(Path("."))
with new_folder("made") as made:
    write_json(made / "b.json", [2])
print(read_json("run/a.json"), read_json("made/b.json"))
"""
RENDER = """
from pathlib import Path
from supernet.data.synthetic.dataset import ensure
from supernet.data.synthetic.options import SyntheticOptions
from supernet.runs.environment import environment
ensure("data", SyntheticOptions(train=1, val=1, test=1, size=64, workers=1))
print(len(list(Path("data/images").iterdir())), environment(1)["cores"] > 0)
"""
JOURNAL = """
from pathlib import Path
import optuna
from optuna.storages import JournalStorage
from search.study.journal import Journal
study = optuna.create_study(storage=JournalStorage(Journal(Path("study.journal"))))
study.add_trial(optuna.trial.create_trial(value=1.0))
print(len(study.trials))
"""


def run(folder: Path, script: str) -> str:
    words = [sys.executable, "-c", WITHOUT + script]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_run_folders(tmp_path: Path) -> None:
    assert run(tmp_path, FILES) == "[1] [2]"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "run"]


def test_rendering(tmp_path: Path) -> None:
    assert run(tmp_path, RENDER) == "3 True"


def test_the_journal_of_a_search(tmp_path: Path) -> None:
    assert run(tmp_path, JOURNAL) == "1"
