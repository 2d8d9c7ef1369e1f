"""Real commands, in forks of a process that has imported what they need: all of them but the start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., subprocess.CompletedProcess[str]]
# Never torch's own work in the server: a fork of it could not differentiate.
SERVER = """
import contextlib, gc, importlib, json, os, runpy, sys, traceback
for name in ("cv2", "matplotlib.figure", "onnxruntime", "optuna", "rich.progress", "torch", "hydra.main",
             "supernet.training.job", "supernet.evaluation", "subnets.source", "search.session"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    words, folder, environment, out, err = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    code = 1
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[1:1] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        for path, descriptor in ((os.devnull, 0), (out, 1), (err, 2)):
            os.dup2(os.open(path, os.O_RDWR), descriptor)
        sys.argv = words
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)
"""


class Warm:
    """Runs `python -m MODULE SETTINGS...` without its start."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, text=True, env=environment()
        )
        self._folder = tempfile.TemporaryDirectory()
        self._answer()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()

    def run(
        self,
        module: str,
        settings: Sequence[str],
        cwd: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """How the command ended, and what it printed."""
        out, err = (Path(self._folder.name) / name for name in ("out", "err"))
        out.write_text(""), err.write_text("")
        given = dict(environment() if env is None else env)
        assert self._server.stdin is not None
        self._server.stdin.write(
            json.dumps([[module, *settings], str(cwd), given, str(out), str(err)]) + "\n"
        )
        self._server.stdin.flush()
        code = int(self._answer())
        return subprocess.CompletedProcess([module, *settings], code, out.read_text(), err.read_text())

    def close(self) -> None:
        """End the server."""
        self._server.communicate()
        self._folder.cleanup()


def environment(*more: Path) -> dict[str, str]:
    """That of this process, in which the packages are found, and what lies in `more`."""
    paths = [str(ROOT), *map(str, more), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
