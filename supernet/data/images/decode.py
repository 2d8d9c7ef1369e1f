"""Decoding images, upright; and decoding every image of a set to see whether it is whole.

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
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...runs.environment import usable_cores
from ...runs.reading import check_bound
from .store import Store

UInt8Image: TypeAlias = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
_JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_TIFF_STARTS = (b"II*\0", b"MM\0*")
# OpenCV reads more (HDR, PFM, PNM, BigTIFF, JPEG 2000), and any memory for it: nobody looks at their size.
_STARTS = (_JPEG_START, _PNG_START, b"BM", b"GIF8", b"RIFF", *_TIFF_STARTS)
_KINDS = "JPEG, PNG, BMP, WebP or TIFF"
# Markers without a length field: TEM, RST0-7, SOI, EOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xDA)})

# Start-of-frame markers; C4 (Huffman tables), C8 and CC lie in the same range and are none.
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN_MARKER = 0xDA
_EXIF_MARKER = 0xE1
_STDERR = 2


def is_picture(name: str) -> bool:
    """Whether a file of this name, or path with /, is taken for an image where a folder is looked through.

    Hidden ones are not: macOS leaves a `._a.jpg` beside `a.jpg` on other systems' disks.
    """
    last = name.rpartition("/")[2]
    return not last.startswith(".") and last.lower().endswith(IMAGE_SUFFIXES)


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image file say.

    Attributes:
        width, height: of the pixels as they are stored.
        orientation: EXIF's: 1 (as stored) to 8; 5 to 8 exchange width and height.
    """

    width: int
    height: int
    orientation: int = 1


def upright_size(header: Header) -> tuple[int, int]:
    """(width, height) of the picture as viewers show it."""
    sides = (header.width, header.height)
    return sides if header.orientation < 5 else sides[::-1]


def decode_rgb(data: bytes, name: str, stored: bool = False) -> UInt8Image:
    """The image in `data` as (H, W, 3) uint8 RGB, upright as its EXIF orientation says, or as it is `stored`.

    Raises:
        InputError: `data` is no image, is truncated, or announces more pixels than `LIMITS` allow; the
            message begins with `name`.
    """
    if data[:2] == _JPEG_START and _JPEG_END not in data[_scan_start(data) :]:
        raise InputError(f"{name} is a truncated JPEG; fetch it again")
    if data and not data.startswith(_STARTS):
        told = f"is not a readable image ({len(data)} bytes, no {_KINDS})"
        raise InputError(f"{name} {told}; fetch it again, or convert it")
    size = stored_size(data)
    if size is not None:
        check_bound("LITEPOSE_MAX_PIXELS", size[0] * size[1], name)
    try:
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded: {' '.join(str(error).split())}") from None
    if image is None:
        raise InputError(f"{name} is not a readable image ({len(data)} bytes); fetch it again")
    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
    orientation = exif_orientation(data)
    if _is_tiff(data):  # which OpenCV turns whatever it is asked for
        return upright(rgb, {6: 8, 8: 6}.get(orientation, orientation)) if stored else rgb
    return rgb if stored else upright(rgb, orientation)


def _is_tiff(data: bytes) -> bool:
    return data[:4] in _TIFF_STARTS


def stored_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) that an image file announces; None where its format is not one of these, or broken."""
    if data[:2] == _JPEG_START:
        return _jpeg_size(data)
    if data[:8] == _PNG_START:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:2] == b"BM":
        return int.from_bytes(data[18:22], "little"), abs(int.from_bytes(data[22:26], "little", signed=True))
    if data[:3] == b"GIF":
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data[:4] == b"RIFF" and data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if _is_tiff(data):
        return _tiff_tag(data, 0x0100) or 0, _tiff_tag(data, 0x0101) or 0
    return None


def upright(image: UInt8Image, orientation: int) -> UInt8Image:
    """`image` (H, W, 3), stored with that EXIF orientation, as it is to be seen."""
    turned = image.swapaxes(0, 1) if orientation >= 5 else image
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def image_header(read: Callable[[int], bytes], name: str) -> Header:
    """Size and orientation of an image file, from as few bytes as its format allows.

    Args:
        read: gives the file's first n bytes (all of them for n = -1).
        name: what to call the file in a message.

    Raises:
        InputError: the file is no image.
    """
    data = read(4096)
    if data[:2] == _JPEG_START:
        size = _jpeg_size(data)
        if size is None:
            data = read(-1)
            size = _jpeg_size(data)
        if size is None:
            raise InputError(f"{name} is a JPEG without a frame header; fetch it again")
        return Header(*size, exif_orientation(data))
    if data[:8] == _PNG_START and len(data) >= 24:
        if not any(kind == b"IDAT" for kind, _ in _chunks(data, 8, "big")):
            data = read(-1)
        width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
        return Header(width, height, exif_orientation(data))
    data = read(-1)
    height, width = decode_rgb(data, name, stored=True).shape[:2]
    return Header(width, height, exif_orientation(data))


def exif_orientation(data: bytes) -> int:
    """The EXIF orientation, 1 to 8, in an image file's first bytes; 1 where it has none, or a broken one."""
    tag = b""
    if data[:2] == _JPEG_START:
        found = [data[at + 2 :] for marker, at in _segments(data) if marker == _EXIF_MARKER]
        tag = next((part[6:] for part in found if part[:6] == b"Exif\0\0"), b"")
    elif data[:8] == _PNG_START:
        tag = dict(_chunks(data, 8, "big")).get(b"eXIf", b"")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        tag = dict(_chunks(data, 12, "little")).get(b"EXIF", b"").removeprefix(b"Exif\0\0")
    elif _is_tiff(data):
        tag = data
    value = _tiff_tag(tag, 0x0112)
    return value if value is not None and 1 <= value <= 8 else 1


def _tiff_tag(tiff: bytes, wanted: int) -> int | None:
    """The whole number of a tag in the first directory of a TIFF structure, if it is there."""
    order: Literal["big", "little"] = "big" if tiff[:2] == b"MM" else "little"
    first = int.from_bytes(tiff[4:8], order)
    for entry in range(int.from_bytes(tiff[first : first + 2], order)):
        at = first + 2 + 12 * entry
        if at + 12 > len(tiff):
            break
        if int.from_bytes(tiff[at : at + 2], order) == wanted:
            size = 2 if int.from_bytes(tiff[at + 2 : at + 4], order) == 3 else 4
            return int.from_bytes(tiff[at + 8 : at + 8 + size], order)
    return None


def _chunks(data: bytes, start: int, order: Literal["big", "little"]) -> list[tuple[bytes, bytes]]:
    """The (kind, content) pairs of a PNG up to its pixels, or of a RIFF file."""
    found: list[tuple[bytes, bytes]] = []
    while start + 8 <= len(data) and (not found or found[-1][0] != b"IDAT"):
        png = order == "big"
        kind = data[start + 4 : start + 8] if png else data[start : start + 4]
        size = int.from_bytes(data[start : start + 4] if png else data[start + 4 : start + 8], order)
        found.append((kind, data[start + 8 : start + 8 + size]))
        start += 8 + size + (4 if png else size % 2)
    return found


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


@contextlib.contextmanager
def decode_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A pool of `count` threads that are gone when the block ends: for the system, not only for Python.

    An ending thread takes a mutex of OpenCV. A process that is forked just then would wait for it for ever.
    """
    threads: list[int] = []
    try:
        with ThreadPoolExecutor(count, initializer=lambda: threads.append(threading.get_native_id())) as pool:
            yield pool
    finally:
        tasks = Path("/proc/self/task")
        while any((tasks / str(thread)).exists() for thread in threads):
            time.sleep(0.0005)


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
    package_root = str(Path(__file__).parents[3])
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
            files = [(str(part.root), file) for part, file in map(store.part, names)]
            child.stdin.write(json.dumps(files).encode())
            child.stdin.close()
        for line in child.stdout:
            if line.endswith(b"\n"):
                yield json.loads(line)
    if child.returncode > 0:  # a crash in the decoder is a signal, below 0
        raise RuntimeError(f"{__name__} ended with status {child.returncode}")


def _ignore(_: int) -> None:
    pass


def _findings(files: Iterable[tuple[Store, str]]) -> Iterable[str | None]:
    """What is wrong with each file, or None; takes the process's standard error stream."""
    import cv2

    cv2.setNumThreads(0)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), _STDERR)
        for store, name in files:
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
    files: list[tuple[str, str]] = json.load(sys.stdin)
    stores = {root: Store(root) for root in {root for root, _ in files}}
    for finding in _findings((stores[root], file) for root, file in files):
        sys.stdout.write(json.dumps(finding) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
