"""Images out of a file, a folder, a video or a camera, one after the other."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from supernet.data.images.decode import IMAGE_SUFFIXES, UInt8Image, decode_rgb, exif_orientation, is_picture
from supernet.errors import InputError
from supernet.runs.reading import check_bound, read_bytes

# Pictures that not every OpenCV reads.
UNREAD_SUFFIXES = (".gif", ".avif", ".jp2", ".heic", ".heif", ".jxl", ".dng")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts")
_CAMERA = re.compile(r"(?:camera:?)?(\d+)|camera")
# Containers count their frames only roughly; fewer than this share of the announced ones means a cut file.
_COMPLETE = 0.98
_FFMPEG_QUIET = "-8"
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_HEADS: dict[str, Callable[[bytes], bool]] = {
    ".avi": lambda head: head[:4] == b"RIFF",
    **dict.fromkeys((".mkv", ".webm"), lambda head: head[:4] == b"\x1aE\xdf\xa3"),
    **dict.fromkeys((".mp4", ".m4v", ".mov"), lambda head: head[4:8] in _BOXES),
}


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a source.

    Attributes:
        index: its number, from 0.
        image_id: for COCO results: the number that the file is named after if all files of a folder have
            one, else index + 1.
        name: file name, or source and frame number.
        image: (H, W, 3) uint8 RGB.
        turned: what results say about it where it is shown in another way than it is stored.
    """

    index: int
    image_id: int
    name: str
    image: UInt8Image
    turned: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Frames:
    """A source: iterate it once.

    Attributes:
        kind: `image`, `folder`, `video` or `camera`.
        name: of the source, for messages and file names.
        total: how many frames it has, if known.
        rate: frames per second of a video or camera, else 0.
        failures: what could not be read, one line each, filled while iterating; a folder goes on after a
            broken image, and a video that ends early is noted here.
        deeper: how many folders are in a folder; they are not looked into.
    """

    kind: str
    name: str
    total: int | None
    rate: float
    read: Callable[[list[str]], Iterator[Frame]]
    failures: list[str] = field(default_factory=list)
    deeper: int = 0

    def __iter__(self) -> Iterator[Frame]:
        return self.read(self.failures)


def open_frames(source: str | os.PathLike[str], limit: int | None = None) -> Frames:
    """Open an image, a folder of images, a video, or a camera (`0`, `camera`, `camera:1`).

    Args:
        source: path or camera.
        limit: frames to read at most; None reads all (a camera goes on until interrupted).

    Raises:
        InputError: nothing there, an empty folder, a file that is neither image nor video, or a limit
            below 1.
    """
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit} must be 1 or more")
    text = os.fspath(source)
    path = Path(text)
    if path.is_dir():
        return _folder(path, limit)
    if path.is_file():
        return _video(path, limit) if path.suffix.lower() in VIDEO_SUFFIXES else _image(path)
    camera = _CAMERA.fullmatch(text)
    if camera:
        return _camera(int(camera[1] or 0), limit)
    raise InputError(f"source {text} does not exist; give an image, a folder, a video or camera:0")


def _image(path: Path) -> Frames:
    def read(_: list[str]) -> Iterator[Frame]:
        yield Frame(0, 1, path.name, *_read(path))

    return Frames("image", path.stem, 1, 0.0, read)


def read_rgb(path: Path) -> UInt8Image:
    """The image file `path` as (H, W, 3) uint8 RGB, upright.

    Raises:
        InputError: missing, truncated, or no image.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[UInt8Image, Mapping[str, Any]]:
    """The image, and what results say about it if its EXIF orientation turned it upright."""
    data = read_bytes(path, "image")
    image, orientation = decode_rgb(data, str(path)), exif_orientation(data)
    return image, {} if orientation == 1 else {"frame": "upright", "exif_orientation": orientation}


def _folder(folder: Path, limit: int | None) -> Frames:
    files = sorted(folder.iterdir())
    paths = [path for path in files if is_picture(path.name)][:limit]
    others = [path for path in files if path.suffix.lower() in UNREAD_SUFFIXES]
    deeper = sum(path.is_dir() for path in files)
    if not paths:
        told = f"; {others[0].name} is not read, convert it to JPEG or PNG" if others else ""
        told += f"; {not_looked_into(deeper)}" if deeper else ""
        raise InputError(f"folder {folder} holds no images ({', '.join(IMAGE_SUFFIXES)}){told}")
    stems = [path.stem for path in paths]
    numbered = all(stem.isdecimal() for stem in stems) and len({int(stem) for stem in stems}) == len(stems)

    def read(failures: list[str]) -> Iterator[Frame]:
        failures += [f"{path} is not read; convert it to JPEG or PNG" for path in others]
        for index, path in enumerate(paths):
            try:
                image, turned = _read(path)
            except InputError as error:
                failures.append(str(error))
                continue
            yield Frame(index, int(path.stem) if numbered else index + 1, path.name, image, turned)

    return Frames("folder", folder.resolve().name, len(paths), 0.0, read, deeper=deeper)


def not_looked_into(folders: int) -> str:
    """That so many folders in the source were passed over."""
    return f"deeper folders ({folders}) are not looked into; give each of them as a source"


def _video(path: Path, limit: int | None) -> Frames:
    capture = _capture(str(path))
    if not capture.isOpened():
        raise InputError(
            f"video {path} cannot be opened: truncated, or in a format that OpenCV does not know; "
            "convert it, for example with ffmpeg -i IN out.mp4"
        )
    sides = (capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    check_bound("LITEPOSE_MAX_PIXELS", int(sides[0] * sides[1]), f"video {path}")
    announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    codec = _codec(int(capture.get(cv2.CAP_PROP_FOURCC)))

    def read(failures: list[str]) -> Iterator[Frame]:
        count = 0
        if not _begins_well(path):
            failures.append(f"video {path} lacks its beginning, and maybe frames; fetch it again")
        for frame in _captured(capture, path.name, limit):
            count += 1
            yield frame
        if not count:
            raise InputError(
                f"video {path} gives no frames: OpenCV does not know its codec {codec}, or it is cut short; "
                "convert it, for example with ffmpeg -i IN out.mp4"
            )
        if limit is None and count < _COMPLETE * announced:
            failures.append(f"video {path} ends after {count} of {announced} frames; is it truncated?")

    total = announced if announced > 0 else None
    if limit is not None:
        total = limit if total is None else min(limit, total)
    return Frames("video", path.stem, total, rate if rate > 0 else 25.0, read)


def _begins_well(path: Path) -> bool:
    """Whether a video file has the head of its container; FFmpeg also finds the rest of one without."""
    with open(path, "rb") as stream:
        head = stream.read(12)
    return all(suffix != path.suffix.lower() or test(head) for suffix, test in _HEADS.items())


def _camera(number: int, limit: int | None) -> Frames:
    capture = _capture(number)
    if not capture.isOpened():
        raise InputError(f"camera {number} cannot be opened; is it connected, and free?")
    rate = float(capture.get(cv2.CAP_PROP_FPS))

    def read(failures: list[str]) -> Iterator[Frame]:
        yield from _captured(capture, f"camera {number}", limit)
        failures.append(f"camera {number} gives no more images")

    return Frames("camera", f"camera-{number}", limit, rate if rate > 0 else 25.0, read)


def _capture(source: str | int) -> Any:
    # What FFmpeg says about a broken file is said by us in one line; read when OpenCV first needs FFmpeg.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", _FFMPEG_QUIET)
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.VideoCapture(source)
    finally:
        cv2.utils.logging.setLogLevel(level)


def _captured(capture: Any, name: str, limit: int | None) -> Iterator[Frame]:
    index = 0
    try:
        while limit is None or index < limit:
            there, image = capture.read()
            if not there or image is None:
                return
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
            yield Frame(index, index + 1, f"{name} frame {index + 1}", rgb)
            index += 1
    finally:
        capture.release()


def _codec(code: int) -> str:
    letters = bytes((code >> shift) & 0xFF for shift in (0, 8, 16, 24))
    return letters.decode("latin-1").strip("\0 ") or "(unknown)"
