"""Spreads chunks over processes; the result does not depend on how many."""

from __future__ import annotations

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
        InputError: the poses file cannot be used.
        RuntimeError: a worker process died; what it had finished stays.
    """
    crowds = prepare(options)  # here too, so that a bad poses file is one clear line
    count = min(options.workers or _cores(), len(chunks))
    if count <= 1:
        for chunk in chunks:
            render_chunk(root, options, crowds, chunk)
            yield chunk
        return
    yield from _run_processes(root, options, chunks, count)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def _start(root: Path, options: SyntheticOptions) -> subprocess.Popen[str]:
    """A worker process. It ends with its input, so none outlives a killed parent by more than a chunk."""
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    process = subprocess.Popen(
        [sys.executable, "-m", "supernet.data.render_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    _send(process, {"root": str(root.resolve()), "options": asdict(options)})
    return process


def _send(process: subprocess.Popen[str], message: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _run_processes(
    root: Path, options: SyntheticOptions, chunks: Sequence[Chunk], count: int
) -> Iterator[Chunk]:
    waiting: queue.SimpleQueue[Chunk] = queue.SimpleQueue()
    finished: queue.SimpleQueue[Chunk | Exception] = queue.SimpleQueue()
    for chunk in chunks:
        waiting.put(chunk)

    def feed(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        while True:
            try:
                chunk = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                _send(process, asdict(chunk))
                answer = process.stdout.readline()
            except OSError:
                answer = ""
            if not answer:
                finished.put(RuntimeError(f"a render worker died at {chunk.split} image {chunk.start}"))
                return
            finished.put(chunk)

    processes = [_start(root, options) for _ in range(count)]
    pool = ThreadPoolExecutor(count)
    try:
        for process in processes:
            pool.submit(feed, process)
        for _ in chunks:
            outcome = finished.get()
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome
    finally:
        for process in processes:
            process.terminate()
        pool.shutdown()
        for process in processes:
            process.communicate()
