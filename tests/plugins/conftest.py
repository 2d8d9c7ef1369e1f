"""Real commands with `plugins=[toy]`, in a folder of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from warm import Warm

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# For tests that import the toy themselves.
sys.path.insert(0, str(HERE))
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Runs `python -m MODULE plugins=[toy] SETTINGS...` in one folder for all tests; `cwd` chooses another.

    `ok=False` lets the command fail; `plugins` replaces `toy`.
    """
    folder = tmp_path_factory.mktemp("plugins")
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH", "")]
    warm = Warm({**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)})

    def run(
        module: str, *settings: str, plugins: str = "toy", ok: bool = True, cwd: Path = folder
    ) -> subprocess.CompletedProcess[str]:
        done = warm.run(module, [*([f"plugins=[{plugins}]"] if plugins else []), *settings], cwd)
        assert not ok or done.returncode == 0, done.stderr
        return done

    yield run
    warm.close()
