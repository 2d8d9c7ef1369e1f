"""Real commands with `plugins=[toy]`, in a folder of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from warm import Warm, environment

HERE = Path(__file__).resolve().parent
# For tests that import the toy themselves.
sys.path.insert(0, str(HERE))
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs `python -m MODULE plugins=[toy] SETTINGS...` in one folder for all tests; `cwd` chooses another.

    `ok=False` lets the command fail; `plugins` replaces `toy`.
    """
    folder, paths = tmp_path_factory.mktemp("plugins"), environment(HERE)

    def run(
        module: str, *settings: str, plugins: str = "toy", ok: bool = True, cwd: Path = folder
    ) -> subprocess.CompletedProcess[str]:
        done = warm.run(module, [*([f"plugins=[{plugins}]"] if plugins else []), *settings], cwd, paths)
        assert not ok or done.returncode == 0, done.stderr
        return done

    return run
