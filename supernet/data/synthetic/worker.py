"""Renders chunks of a synthetic data set, here or in a process that reads them from its standard input."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...errors import InputError
from ...pose.protocols import crowd_index
from ...runs.environment import usable_cores
from ...runs.files import read_json, write_bytes, write_json
from .crowds import Crowd, load_crowds, render_crowd
from .options import SPLITS, SyntheticOptions
from .scene import Scene, person_annotation, render_scene


def run_chunks(root: Path, options: SyntheticOptions, chunks: Sequence[Chunk]) -> Iterator[Chunk]:
    """Render all chunks, yielding each as it is done.

    Raises:
        OSError, InputError: a worker process could not write, or died; what it had finished stays.
    """
    count = min(options.workers or len(usable_cores()), len(chunks))
    if count <= 1:
        crowds = prepare(options)
        for chunk in chunks:
            render_chunk(root, options, crowds, chunk)
            yield chunk
        return
    yield from _run_processes(root, options, chunks, count)


def _start() -> subprocess.Popen[str]:
    """A worker process. It ends with its input, so none outlives a killed parent by more than a chunk."""
    package_root = str(Path(__file__).resolve().parents[3])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    return subprocess.Popen(
        [sys.executable, "-m", "supernet.data.synthetic.worker"],
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
        self.finished: queue.SimpleQueue[Chunk | Exception] = queue.SimpleQueue()
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
                if process.stdout is None or not (answer := process.stdout.readline()):
                    raise BrokenPipeError
                fault = json.loads(answer)
                self.finished.put(_raised(*fault) if fault else chunk)
        except queue.Empty:
            return
        except (OSError, ValueError):
            at = f"at {chunk.split} image {chunk.start}" if chunk else "before its first image"
            self.finished.put(
                InputError(f"a render worker died {at}; start the same command again to complete the set")
            )
        except Exception as error:  # whoever waits for a chunk must not wait for ever
            self.finished.put(error)


def _raised(number: int | None, text: str, file: str | None) -> Exception:
    """What a worker raised."""
    return InputError(text) if number is None else OSError(number, text, file)


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
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome
    finally:
        for process in processes:
            process.terminate()
        pool.shutdown()
        for process in processes:
            with contextlib.suppress(BrokenPipeError):
                process.communicate()


CHUNK = 25
_FIRST_ID = 1_000_000  # image id = _FIRST_ID * (1 + split) + index: unique over the splits


@dataclass(frozen=True)
class Chunk:
    """Images `start` to `stop` - 1 of a split."""

    split: str
    start: int
    stop: int

    @property
    def part(self) -> str:
        """File name of the chunk's labels while the set is incomplete."""
        return f"{self.split}_{self.start:07d}.json"


def all_chunks(options: SyntheticOptions) -> list[Chunk]:
    """Every chunk of a data set, in order."""
    return [
        Chunk(split, start, min(start + CHUNK, options.count(split)))
        for split in SPLITS
        for start in range(0, options.count(split), CHUNK)
    ]


def image_id(split: str, index: int) -> int:
    """The id of a split's `index`-th image."""
    return _FIRST_ID * (1 + SPLITS.index(split)) + index


def options_from(data: dict[str, Any]) -> SyntheticOptions:
    """Options from their JSON form."""
    pairs: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return SyntheticOptions(**pairs)


def scene_at(options: SyntheticOptions, crowds: list[Crowd], split: str, index: int) -> Scene:
    """The `index`-th scene of a split; depends on nothing else."""
    seed = np.random.SeedSequence(options.seed, spawn_key=(SPLITS.index(split), index))
    if options.poses is None:
        return render_scene(seed, options)
    return render_crowd(seed, options, crowds, split, index)


def encoded(scene: Scene, options: SyntheticOptions) -> bytes:
    """The scene as its JPEG file."""
    return cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, options.quality])[1].tobytes()


def part_is_done(root: Path, chunk: Chunk) -> bool:
    """Whether a chunk's labels and all its images are there, whole."""
    part = root / "parts" / chunk.part
    if not part.is_file():
        return False
    sizes = read_json(part)["bytes"]
    return all(_size(root / "images" / name) == size for name, size in sizes.items())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def render_chunk(root: Path, options: SyntheticOptions, crowds: list[Crowd], chunk: Chunk) -> None:
    """Write a chunk's images, then its labels."""
    part: dict[str, Any] = {"images": [], "annotations": [], "bytes": {}}
    for index in range(chunk.start, chunk.stop):
        scene = scene_at(options, crowds, chunk.split, index)
        identity = image_id(chunk.split, index)
        name = f"{identity}.jpg"
        data = encoded(scene, options)
        target = root / "images" / name
        if _size(target) != len(data):
            write_bytes(target, data)
        people = [person_annotation(0, identity, k, box, crowd) for k, box, crowd in scene.people]
        height, width = scene.image.shape[:2]
        part["images"].append(
            {
                "file_name": name,
                "id": identity,
                "height": height,
                "width": width,
                "crowdIndex": crowd_index(people),
            }
        )
        part["annotations"] += people
        part["bytes"][name] = len(data)
    write_json(root / "parts" / chunk.part, part, indent=None)


def prepare(options: SyntheticOptions) -> list[Crowd]:
    """What every chunk needs: the real crowds, if poses come from a file."""
    return [] if options.poses is None else load_crowds(options.poses)


def main() -> None:
    """Serve a parent: one JSON line with root and options, then one line per chunk; ends with the input.

    Answers each chunk with [], or with number, text and file of an error.
    """
    cv2.setNumThreads(1)
    setup = json.loads(sys.stdin.readline())
    root, options = Path(setup["root"]), options_from(setup["options"])
    crowds = prepare(options)
    for line in sys.stdin:
        chunk = Chunk(**json.loads(line))
        fault: list[Any] = []
        try:
            render_chunk(root, options, crowds, chunk)
        except InputError as error:
            fault = [None, str(error), None]
        except OSError as error:
            fault = [error.errno, error.strerror, error.filename]
        print(json.dumps(fault), flush=True)


if __name__ == "__main__":
    main()
