"""Decoding every image to see whether it is whole.

A JPEG has no checksum: from damaged bytes a decoder makes some picture and says so on the standard error
stream only. That stream belongs to the whole process, so the decoding happens in processes of its own,
which a picture that crashes the decoder cannot take along either.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..errors import InputError
from .images import decode_rgb
from .store import Store

_STDERR = 2


def damaged_images(
    store: Store,
    names: Sequence[str],
    processes: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, str]:
    """What is wrong with those of the image files `names` that are not whole.

    Costs a few milliseconds an image and process.

    Args:
        store: where the files are.
        names: their names in it.
        processes: how many decode at once; one per available core for None.
        progress: called with 1 for every image that is done, from several threads.
    """
    count = min(processes or len(os.sched_getaffinity(0)), max(1, len(names) // 32))
    shares = [names[first::count] for first in range(count)]
    with ThreadPoolExecutor(count) as pool:
        parts = list(pool.map(lambda share: _run(store, share, progress or _ignore), shares))
    return {name: reason for part in parts for name, reason in part.items()}


def _run(store: Store, names: Sequence[str], progress: Callable[[int], None]) -> dict[str, str]:
    """The findings of child processes, begun anew behind a file that kills one."""
    found: dict[str, str] = {}
    left = list(names)
    while left:
        done = 0
        for reason in _child_findings(store, left):
            if reason is not None:
                found[left[done]] = reason
            done += 1
            progress(1)
        left = left[done:]
        if left:
            found[left.pop(0)] = "the decoder crashes on it"
            progress(1)
    return found


def _child_findings(store: Store, names: Sequence[str]) -> Iterator[str | None]:
    """What a child process says about one name after the other, as far as it gets."""
    package_root = str(Path(__file__).parents[2])
    path = os.pathsep.join([package_root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        # The child reads all of it before it says anything, so neither waits for the other.
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(json.dumps({"root": str(store.root), "names": list(names)}).encode())
            child.stdin.close()
        for line in child.stdout:
            if line.endswith(b"\n"):
                yield json.loads(line)
    if child.returncode > 0:  # a crash in the decoder is a signal, below 0
        raise RuntimeError(f"{__name__} ended with status {child.returncode}")


def _ignore(_: int) -> None:
    pass


def _findings(store: Store, names: Iterable[str]) -> Iterable[str | None]:
    """What is wrong with each file, or None; takes the process's standard error stream."""
    import cv2

    cv2.setNumThreads(0)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), _STDERR)
        for name in names:
            captured.seek(0)
            captured.truncate()
            try:
                decode_rgb(store.read(name), store.describe(name))
            except InputError as error:
                yield str(error)
                continue
            captured.seek(0)
            words = " ".join(captured.read().decode(errors="replace").split())
            yield f"{store.describe(name)} is damaged: {words[:200]}; fetch it again" if words else None


def _main() -> None:
    task: dict[str, Any] = json.load(sys.stdin)
    for finding in _findings(Store(task["root"]), task["names"]):
        sys.stdout.write(json.dumps(finding) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
