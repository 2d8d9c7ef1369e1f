# ruff: noqa: SIM115
"""Commands run as a user runs them, but in forks of a process that has imported everything already."""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A hang: this much of processor time, or of waiting without any (other work may share the machine) ...
LIMIT_SECONDS = 20.0
# ... or this much by the clock: other work may leave a command little of the machine.
CLOCK_SECONDS = 600.0
ALLOWED_BYTES = 1 << 30
# Above what an undamaged run may take and still not enough to harm the machine.
ADDRESS_BYTES = 3 << 30
FILE_BYTES = 1 << 30
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_PACKAGES = ("supernet", "search", "subnets")

Entry = str | Callable[[Sequence[str]], int | None]
# What a process of a command does first, to forbid itself something.
Limit = Callable[[], None]


@dataclass(frozen=True)
class Run:
    """How a command ended.

    Attributes:
        code: exit status, or minus the number of the signal.
        seconds: of processor time.
        memory: the largest resident size in bytes.
        hung: whether it was stopped for its time.
        out, err: what it printed.
    """

    code: int
    seconds: float
    memory: int
    hung: bool
    out: str
    err: str

    def line(self) -> str:
        """The line that matters most of what it said."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        return lines[-1][:400] if lines else ""

    def place(self) -> str:
        """Where in the packages a traceback ended: file:function."""
        found = ""
        for file, _, function in _FRAME.findall(self.err):
            parts = Path(file).parts
            inside = [i for i, part in enumerate(parts) if part in _PACKAGES and "site-packages" not in parts]
            if inside:
                found = f"{'/'.join(parts[inside[-1] :])}:{function}"
        return found

    def verdict(self, undamaged: Run | None = None) -> str:
        """refused (one line, status 2), accepted, traceback, hang, memory, or unclear."""
        if undamaged and self.memory > undamaged.memory + ALLOWED_BYTES:
            return "memory"
        if self.hung:
            return "hang"
        if "MemoryError" in self.err or "can't allocate memory" in self.err or "bad_alloc" in self.err:
            return "memory"
        if "Traceback (most recent call last)" in self.err or self.code < 0 or self.code == 1:
            return "traceback"
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        if (
            self.code == 2
            and len(errors) == 1
            and self.line().startswith("error: ")
            and len(errors[0]) < 1500
        ):
            return "refused"
        return "accepted" if self.code == 0 and not errors else "unclear"


def run(entry: Entry, arguments: Sequence[str], folder: Path, settings: Any = None) -> Run:
    """Run `entry` in `folder` in a process of its own.

    Args:
        entry: `package.module` with a `main` that reads `sys.argv`, or a function of the arguments.
        arguments: the command line without the program.
        folder: to run in; the output is kept beside it.
        settings: of the command, composed before (see `compose`).
    """
    out, err = outputs(folder)
    begin = time.monotonic()
    child = start(entry, arguments, folder, settings)
    hung, spent, last = False, 0.0, begin
    seen: dict[int, float] = {}
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            break
        # Looking costs time as well.
        time.sleep(min(0.05, 0.003 + (time.monotonic() - begin) / 10))
        now, (state, used) = time.monotonic(), _state(child)
        if used > spent or state == "R":
            spent, last = used, now
        if now - last > LIMIT_SECONDS and (children := group(child)) != seen:
            last, seen = now, children  # it waits for processes of its own, which got little of the machine
        if used > LIMIT_SECONDS or now - last > LIMIT_SECONDS or now - begin > CLOCK_SECONDS:
            hung = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            break
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # whatever it left behind
    texts = [path.read_text(errors="replace") for path in (out, err)]
    out.unlink(), err.unlink()
    code = os.waitstatus_to_exitcode(status)
    return Run(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, hung, *texts)


def start(
    entry: Entry,
    arguments: Sequence[str],
    folder: Path,
    settings: Any = None,
    limit: Limit | None = None,
    printing: Sequence[Path] = (),
) -> int:
    """Start `entry` in `folder`; the number of its process, which leads a group of its own.

    Args:
        entry, arguments, folder, settings: as for `run`.
        limit: called first in the new process.
        printing: files for what it prints, and for its errors; `outputs(folder)` by default.
    """
    child = os.fork()
    if not child:
        _become(entry, arguments, folder, settings, limit, *(printing or outputs(folder)))
    return child


def outputs(folder: Path) -> tuple[Path, Path]:
    """Where what a command prints is kept."""
    return folder.parent / f"{folder.name}.out", folder.parent / f"{folder.name}.err"


def _state(pid: int) -> tuple[str, float]:
    """Whether a process runs (R) or waits, and the processor time that it has had."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0.0
    return fields[0], sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def group(leader: int) -> dict[int, float]:
    """The processes of a group, and the processor time that each has had."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if entry.name.isdecimal() and os.getpgid(int(entry.name)) == leader:
                found[int(entry.name)] = _state(int(entry.name))[1]
    return found


def _become(
    entry: Entry,
    arguments: Sequence[str],
    folder: Path,
    settings: Any,
    limit: Limit | None,
    out: Path,
    err: Path,
) -> None:
    code = 1
    gc.disable()  # it would touch, and so copy, all that this process shares with its parent
    try:
        os.setsid()
        os.chdir(folder)
        for path, descriptor in ((out, 1), (err, 2)):
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(opened, descriptor)
            os.close(opened)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        for what, value in ((resource.RLIMIT_AS, used + ADDRESS_BYTES), (resource.RLIMIT_FSIZE, FILE_BYTES)):
            resource.setrlimit(what, (value, value))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limit:
            limit()
        code = _call(entry, arguments, settings)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def compose(entry: Entry, arguments: Sequence[str]) -> Any:
    """What Hydra makes of a command line, where no file that may be damaged takes part; else None.

    Most of a small command's time is Hydra's. Composed once, the settings serve all cases of a command; the
    command's own main still checks them, runs and answers for errors.
    """
    import hydra

    if not isinstance(entry, str) or any(argument.startswith("--") for argument in arguments):
        return None
    found: list[Any] = []

    def recorder(config_name: str, **_: Any) -> Callable[..., Any]:
        def decorate(task: object) -> Callable[[], None]:
            def composing() -> None:
                with hydra.initialize_config_module("conf", version_base="1.3"):
                    found.append(hydra.compose(config_name, list(arguments), return_hydra_config=True))

            return composing

        return decorate

    before, argv, hydra.main, sys.argv = hydra.main, sys.argv, recorder, [entry, *arguments]
    try:
        importlib.import_module(entry).main()
    finally:
        hydra.main, sys.argv = before, argv
    return found[0]


def _skip_composing(settings: Any) -> None:
    """Let the next `hydra.main` of this process take `settings`."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict, read_write

    folder = os.path.abspath(settings.hydra.run.dir)
    settings.hydra.runtime.output_dir = folder
    HydraConfig.instance().set_config(settings)
    with read_write(settings), open_dict(settings):
        del settings["hydra"]

    def main(**_: Any) -> Callable[..., Any]:
        def decorate(task: Callable[[Any], Any]) -> Callable[[], Any]:
            def composed() -> Any:
                os.makedirs(folder, exist_ok=True)
                return task(settings)

            return composed

        return decorate

    hydra.main = main


def _call(entry: Entry, arguments: Sequence[str], settings: Any = None) -> int:
    sys.stdin = open(os.devnull)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    try:
        if callable(entry):
            return entry(arguments) or 0
        sys.argv = [entry, *arguments]
        if settings is not None:
            _skip_composing(settings)
        importlib.import_module(entry).main()
    except SystemExit as stop:
        if isinstance(stop.code, int) or stop.code is None:
            return stop.code or 0
        print(stop.code, file=sys.stderr)
        return 1
    return 0


def learn_modules(
    entry: Entry, arguments: Sequence[str], folder: Path, kept: Path, settings: Any = None
) -> Run:
    """Run a command, import here what it imported there, and keep the names in the file `kept`."""
    listing = folder.parent / "modules.txt"

    def body(given: Sequence[str]) -> int:
        try:
            return _call(entry, given, settings)
        finally:
            listing.write_text("\n".join(name for name in sys.modules if name not in known))

    known = set(sys.modules)
    done = run(body, arguments, folder)
    with kept.open("a") as file:
        file.write(listing.read_text() + "\n")
    import_learned(listing)
    return done


# What nearly every command needs: imported once before anything is run.
HEAVY = (
    *("torch", "torch._dynamo", "cv2", "optuna", "scipy.stats", "matplotlib.figure", "hydra.main"),
    *("matplotlib.backends.backend_agg", "search.session", "supernet.train", "supernet.training.job"),
    "supernet.data.synthetic.dataset",
)


def import_heavy() -> None:
    """Import here what a child would import first, and this process after it."""
    for name in HEAVY:
        importlib.import_module(name)


def draw_nothing() -> None:
    """Leave out the rendering of figures, which takes half the time of a small command."""
    import cv2
    import numpy as np
    from matplotlib.figure import Figure

    blank = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()

    def savefig(self: Figure, file: Any, **_: Any) -> None:
        if hasattr(file, "write"):
            file.write(blank)
        else:
            Path(file).write_bytes(blank)

    Figure.savefig = savefig  # type: ignore[method-assign]


def import_learned(listing: Path) -> None:
    """Import what earlier runs needed."""
    for name in listing.read_text().split() if listing.exists() else ():
        if name not in sys.modules and not name.startswith(("__", "hydra_plugins")):
            with contextlib.suppress(Exception):
                importlib.import_module(name)
