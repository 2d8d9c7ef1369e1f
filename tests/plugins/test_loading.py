"""Plugins are imported by every command before it checks its settings; a bad one is one line."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from warm import Run

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = [
    target.partition(":")[0]
    for target in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"].values()
]
# Says in which process it was imported.
TELLING = "import os, pathlib, sys\npathlib.Path(f'imported-{os.getpid()}').touch()\n"
NO_CONTRACT = """
from supernet.errors import InputError
from supernet.registry import Registry
def check(item): raise InputError("it lacks a unit")
Registry("cost", {}, check).register("mine", object())
"""


@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_imports_plugins_first(run: Run, module: str, tmp_path: Path) -> None:
    needed = {"subnets.predict": ["source=x.jpg"], "subnets.compare": ["folder=x", "other=y.npz"]}.get(
        module, []
    )
    needed += ["arch=x"] if module.startswith("subnets") and module != "subnets.compare" else []
    done = run(tmp_path, module, *needed, "plugins=[absent]")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: plugins: absent cannot be imported: ModuleNotFoundError")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def f(:\n", "SyntaxError"),
        ("1 / 0\n", "ZeroDivisionError: division by zero, {folder}/mine.py:1"),
        ("import absent\n", "No module named 'absent', {folder}/mine.py:1"),
        (NO_CONTRACT, "plugins: mine: cost 'mine': it lacks a unit"),
    ],
)
def test_a_broken_plugin_is_one_line(run: Run, text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    done = run(tmp_path, "supernet.describe", "plugins=[mine]")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert told.format(folder=tmp_path) in line


def test_plugins_reach_the_jobs_of_a_sweep_and_their_processes(run: Run, tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(TELLING)
    jobs = ["-m", "arch=litepose-xs", "weights=a.pth,b.pth", "plugins=[telling]"]
    run(tmp_path, "subnets.convert", *jobs)
    (here,) = tmp_path.glob("imported-*")
    here.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "subnets.convert", *jobs, "hydra/launcher=local_joblib"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    process.communicate()
    found = {path.name for path in tmp_path.glob("imported-*")}
    assert found
    assert f"imported-{process.pid}" not in found


def test_installed_packages_name_theirs(tmp_path: Path) -> None:
    (tmp_path / "telling.py").write_text(TELLING)
    about = tmp_path / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[litepose_ofa.plugins]\ntheirs = telling\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-m", "supernet.describe"]
    subprocess.run(
        words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.DEVNULL, check=True
    )
    assert len(list(tmp_path.glob("imported-*"))) == 1
