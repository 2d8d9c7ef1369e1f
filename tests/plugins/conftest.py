"""Real commands with `plugins=[toy]`, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# For tests that import the toy themselves.
sys.path.insert(0, str(HERE))
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs `python -m MODULE plugins=[toy] SETTINGS...` in one folder for all tests; `cwd` chooses another.

    `ok=False` lets the command fail; `plugins` replaces `toy`.
    """
    folder = tmp_path_factory.mktemp("plugins")
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}

    def run(
        module: str, *settings: str, plugins: str = "toy", ok: bool = True, cwd: Path = folder
    ) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", module, *([f"plugins=[{plugins}]"] if plugins else []), *settings]
        done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert not ok or done.returncode == 0, done.stderr
        return done

    return run
