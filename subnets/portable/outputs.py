"""What prediction leaves behind: drawn images or a drawn video, and COCO keypoint results."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import cv2

from supernet.data.images.decode import UInt8Image
from supernet.errors import InputError
from supernet.pose.people import People
from supernet.pose.results import to_coco_results

from .frames import Frame, Frames

SCHEMA = 1
RESULTS_FILE = "predictions.json"
IMAGES_FILE = "images.json"
VIDEO_FILE = "video.mp4"
JPEG_QUALITY = 90


class JsonList:
    """A JSON list written entry by entry, so that a long video needs no more memory than a short one.

    Args:
        stream: text to write to.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._first = True

    def add(self, entry: Any) -> None:
        """Append `entry`."""
        self._stream.write(("[\n" if self._first else ",\n") + json.dumps(entry))
        self._first = False

    def close(self) -> None:
        """End the list."""
        self._stream.write("[]\n" if self._first else "\n]\n")


class Outputs:
    """Files of one prediction: `predictions.json`, `images.json`, and pictures or a video.

    `predictions.json` is a list of COCO keypoint results. `images.json` names the image behind each id.
    """

    def __init__(self, folder: Path, results: JsonList, images: JsonList, video: _Video | None) -> None:
        self._folder = folder
        self._results = results
        self._images = images
        self._video = video

    def add(self, frame: Frame, people: People, drawn: UInt8Image | None) -> None:
        """Keep the people of one frame, and its picture if there is one.

        Raises:
            InputError: the picture cannot be written.
        """
        height, width = frame.image.shape[:2]
        self._images.add({"id": frame.image_id, "file_name": frame.name, "width": width, "height": height})
        for entry in to_coco_results([people], [frame.image_id]):
            self._results.add(entry)
        if drawn is None:
            return
        if self._video is not None:
            self._video.add(drawn)
        else:
            path = self._folder / f"{Path(frame.name).stem}.jpg"
            # a.jpg and a.png of one folder
            write_jpeg(self._folder / f"{frame.name}.jpg" if path.exists() else path, drawn)


@contextlib.contextmanager
def open_outputs(folder: Path, frames: Frames) -> Iterator[Outputs]:
    """Outputs for `frames` in `folder`, which is made if needed; files get their names when the block ends
    well.

    Raises:
        InputError: the folder cannot be written to, or has results already.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (RESULTS_FILE, IMAGES_FILE, VIDEO_FILE):
            if (folder / name).exists():
                raise InputError(
                    f"{folder} holds predictions already ({name}); choose another folder or name"
                )
        with (
            _replacing(folder / RESULTS_FILE) as results,
            _replacing(folder / IMAGES_FILE) as images,
            _Video(folder / VIDEO_FILE, frames.rate) as video,
        ):
            lists = JsonList(results), JsonList(images)
            yield Outputs(folder, *lists, video if frames.kind in ("video", "camera") else None)
            for each in lists:
                each.close()
    except OSError as error:
        raise InputError(f"predictions cannot be written to {folder}: {error}") from None


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    """A text stream to a temporary sibling, which becomes `path` when the block ends well."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            yield stream
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class _Video:
    """A video that opens with its first frame, whose size is that of all; it gets its name when the block
    ends well.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        # OpenCV takes the container from the suffix, so the temporary name keeps it.
        self._temporary = path.with_name(f".part.{path.name}")
        self._rate = rate
        self._writer: Any = None
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> _Video:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if kind is None:
            os.replace(self._temporary, self._path)
        else:
            self._temporary.unlink(missing_ok=True)

    def add(self, image: UInt8Image) -> None:
        """Append `image` (H, W, 3) RGB; one of another size is fitted to the first one's."""
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            self._size = size
            self._writer = cv2.VideoWriter(
                str(self._temporary), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size
            )
            if not self._writer.isOpened():
                raise InputError(f"video {self._path} cannot be written with this OpenCV; use draw=false")
        if size != self._size:
            image = cv2.resize(image, self._size)  # type: ignore[assignment]
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_jpeg(path: Path, image: UInt8Image) -> None:
    """Write (H, W, 3) uint8 RGB as JPEG.

    Raises:
        InputError: it cannot be encoded or written.
    """
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise InputError(f"{path} cannot be encoded as JPEG")
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(data.tobytes())
    os.replace(temporary, path)
