"""Spreads chunks over processes; the result does not depend on how many."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from .render_options import SyntheticOptions
from .render_worker import Chunk
from .render_worker import prepare
from .render_worker import render_chunk


def run_chunks(root: Path, options: SyntheticOptions, chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """Render all chunks, yielding each as it is done.

    Raises:
        RuntimeError: a worker process died; what it had finished stays.
    """
    count = min(options.workers or _cores(), len(chunks))
    if count <= 1:
        crowds = prepare(options)
        for chunk in chunks:
            render_chunk(root, options, crowds, chunk)
            yield chunk
        return
    yield from _run_processes(root, options, chunks, count)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def _start() -> subprocess.Popen[str]:
    """A worker process. It ends with its input, so none outlives a killed parent by more than a chunk."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    return subprocess.Popen(
        [sys.executable, "-m", "supernet.data.render_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )


class _Feeder:
    """Gives waiting chunks to one worker after another, and collects what is finished."""

    def __init__(self, root: Path, options: SyntheticOptions, chunks: Sequence[Chunk]) -> None:
        self.setup = {"root": str(root.resolve()), "options": asdict(options)}
        self.waiting: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
        self.finished: queue.SimpleQueue[Chunk | RuntimeError] = queue.SimpleQueue()
        for chunk in chunks:
            self.waiting.put(chunk)

    def feed(self, process: subprocess.Popen[str]) -> None:
        """Serve one worker until no chunk is waiting or the worker is dead."""
        chunk = None
        try:
            _send(process, self.setup)
            while True:
                chunk = self.waiting.get_nowait()
                _send(process, asdict(chunk))
                if process.stdout is None or not process.stdout.readline():
                    raise BrokenPipeError
                self.finished.put(chunk)
        except queue.Empty:
            return
        except (OSError, ValueError):
            at = f"at {chunk.split} image {chunk.start}" if chunk else "before its first image"
            self.finished.put(RuntimeError(f"a render worker died {at}; start again to complete the set"))


def _send(process: subprocess.Popen[str], message: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _run_processes(
    root: Path, options: SyntheticOptions, chunks: Sequence[Chunk], count: int
) -> Iterator[Chunk]:
    feeder = _Feeder(root, options, chunks)
    processes = [_start() for _ in range(count)]
    pool = ThreadPoolExecutor(count)
    try:
        for process in processes:
            pool.submit(feeder.feed, process)
        for _ in chunks:
            outcome = feeder.finished.get()
            if isinstance(outcome, RuntimeError):
                raise outcome
            yield outcome
    finally:
        for process in processes:
            process.terminate()
        pool.shutdown()
        for process in processes:
            with contextlib.suppress(BrokenPipeError):
                process.communicate()
