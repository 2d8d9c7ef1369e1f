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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...runs.environment import usable_cores
from .store import Store

UInt8Image: TypeAlias = npt.NDArray[np.uint8]

_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Markers without a length field: TEM, RST0-7, SOI, EOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xDA)})
# Start-of-frame markers; C4 (Huffman tables), C8 and CC lie in the same range and are none.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN_MARKER = 0xDA


def decode_rgb(data: bytes, name: str) -> UInt8Image:
    """The image in `data` as (H, W, 3) uint8 RGB; an EXIF rotation is ignored, as the annotations do.

    Raises:
        InputError: `data` is no image, or is truncated; the message begins with `name`.
    """
    if data[:2] == _JPEG_START and _JPEG_END not in data[_scan_start(data) :]:
        raise InputError(f"{name} is a truncated JPEG; fetch it again")
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded: {' '.join(str(error).split())}") from None
    if image is None:
        raise InputError(f"{name} is not a readable image ({len(data)} bytes); fetch it again")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def image_size(read: Callable[[int], bytes], name: str) -> tuple[int, int]:
    """(width, height) of an image file, from as few bytes as its format allows.

    Args:
        read: gives the file's first n bytes (all of them for n = -1).
        name: what to call the file in a message.

    Raises:
        InputError: the file is no image.
    """
    data = read(4096)
    if data[:2] == _JPEG_START:
        size = _jpeg_size(data) or _jpeg_size(read(-1))
        if size is None:
            raise InputError(f"{name} is a JPEG without a frame header; fetch it again")
        return size
    if data[:8] == _PNG_START and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    image = decode_rgb(read(-1), name)
    return image.shape[1], image.shape[0]


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    for marker, position in _segments(data):
        if marker in _FRAME_MARKERS and position + 7 <= len(data):
            height = int.from_bytes(data[position + 3 : position + 5], "big")
            width = int.from_bytes(data[position + 5 : position + 7], "big")
            return (width, height) if width and height else None
    return None


def _scan_start(data: bytes) -> int:
    """Where the compressed pixels begin, behind any thumbnail with an end marker of its own."""
    for marker, position in _segments(data):
        if marker == _SCAN_MARKER:
            return position
    return len(data)


def _segments(data: bytes) -> list[tuple[int, int]]:
    """The (marker, position of its length field) pairs of a JPEG up to its first scan."""
    found: list[tuple[int, int]] = []
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        found.append((marker, position + 2))
        if marker == _SCAN_MARKER:
            break
        step = 0 if marker in _BARE_MARKERS else int.from_bytes(data[position + 2 : position + 4], "big")
        position += 2 + step
    return found


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
    count = min(processes or len(usable_cores()), max(1, len(names) // 32))
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
