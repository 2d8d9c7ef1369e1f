"""What prediction leaves behind: drawn images or a drawn video, and COCO keypoint results."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import cv2

from supernet.data.images.decode import UInt8Image
from supernet.errors import InputError
from supernet.pose.people import People
from supernet.pose.results import to_coco_results
from supernet.runs.reading import read_bytes

from .frames import Frame, Frames

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCHEMA = 1
RESULTS_FILE = "predictions.json"
IMAGES_FILE = "images.json"
VIDEO_FILE = "video.mp4"
# There when some of the source is not in the results.
UNREAD_FILE = "unread.json"
JPEG_QUALITY = 90
# A folder of files that are not finished, and the list of those that were put in place from it.
WORK = ".predicting-"
PLACED = "placed"
# Of a file name in bytes, with room for a suffix.
_LONGEST_NAME = 240


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
    Files are written in a folder of their own, whose name nobody can foresee, and then put in place; what is
    in place is listed there, so that the next start can remove what a killed one left.

    Args:
        folder: where the files go.
        work: an empty folder in it.
        frames: what is looked at.
        ours: whether files that are there may be replaced.
        asked: what makes it the same prediction; kept where some of the source is lacking.
        earlier: files of an attempt at the same that lacked some of the source: they are replaced or removed.
    """

    def __init__(
        self, folder: Path, work: Path, frames: Frames, ours: bool, asked: Any, earlier: Iterable[str]
    ) -> None:
        self._folder, self._work, self._ours = folder, work, ours
        self._asked, self._earlier = asked, set(earlier)
        self._used: set[str] = set()
        self._names: list[str] = []
        self._video = _Video(work / VIDEO_FILE, frames.rate) if frames.kind in ("video", "camera") else None
        with contextlib.ExitStack() as files:
            self._placed, self._results_stream, self._images_stream = (
                files.enter_context(open(work / name, "x", encoding="utf-8"))
                for name in (PLACED, RESULTS_FILE, IMAGES_FILE)
            )
            self._files = files.pop_all()
        self._results, self._images = JsonList(self._results_stream), JsonList(self._images_stream)

    def add(self, frame: Frame, people: People, drawn: UInt8Image | bytes | None) -> None:
        """Keep the people of one frame, and what is drawn: a JPEG's bytes, or a frame of a video."""
        height, width = frame.image.shape[:2]
        about = {"id": frame.image_id, "file_name": frame.name, "width": width, "height": height}
        self._images.add({**about, **frame.turned})
        for entry in to_coco_results([people], [frame.image_id]):
            self._results.add({**entry, **frame.turned})
        if isinstance(drawn, bytes):
            (self._work / "picture").write_bytes(drawn)
            self._place("picture", self._picture_name(frame.name))
        elif drawn is not None and self._video is not None:
            self._video.add(drawn)

    def finish(self, lacking: Sequence[str]) -> None:
        """Put the results in place, `predictions.json` last: where it is, everything is.

        Args:
            lacking: what of the source is not in them, one line each; kept beside them.
        """
        self._results.close()
        self._images.close()
        for stream in (self._results_stream, self._images_stream):
            stream.flush()
            os.fsync(stream.fileno())
        self._results_stream.close()
        self._images_stream.close()
        if self._video is not None and self._video.close():
            self._place(VIDEO_FILE, VIDEO_FILE)
        if lacking:
            files = [*self._names, IMAGES_FILE, RESULTS_FILE, UNREAD_FILE]
            about = {"schema": SCHEMA, "failures": list(lacking), "asked": self._asked, "files": files}
            text = json.dumps(about, indent=1)
            (self._work / UNREAD_FILE).write_text(text + "\n", encoding="utf-8")
            self._place(UNREAD_FILE, UNREAD_FILE)
        self._place(IMAGES_FILE, IMAGES_FILE)
        self._place(RESULTS_FILE, RESULTS_FILE)
        stale = {UNREAD_FILE} if self._ours else set[str]()
        for name in (stale | self._earlier) - set(self._names):
            (self._folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all files."""
        if self._video is not None:
            self._video.release()
        # What could not be written was said when it could not.
        with contextlib.suppress(OSError):
            self._files.close()

    def _place(self, written: str, name: str) -> None:
        self._placed.write(json.dumps(name) + "\n")
        self._placed.flush()
        os.replace(self._work / written, self._folder / name)
        self._names.append(name)

    def _picture_name(self, name: str) -> str:
        """A name for the picture of the image `name`, not yet that of another or of a file of the user's."""
        stem, whole = _short(Path(name).stem), _short(name)
        numbered = (f"{whole}-{number}" for number in itertools.count(2))
        for each in itertools.chain((stem, whole), numbered):
            found = f"{each}.jpg"
            free = self._ours or found in self._earlier or not os.path.lexists(self._folder / found)
            if found not in self._used and free:
                break
        self._used.add(found)
        return found


def _short(name: str) -> str:
    return os.fsencode(name)[:_LONGEST_NAME].decode("utf-8", "ignore")


@contextlib.contextmanager
def open_outputs(folder: Path, frames: Frames, ours: bool = False, asked: Any = None) -> Iterator[Outputs]:
    """Outputs for `frames` in `folder`, which is made if needed; nothing is left of those that the block does
    not finish.

    Args:
        folder: where the files go; one process at a time writes there.
        frames: what is looked at.
        ours: whether the folder holds nothing but an earlier attempt of the same prediction.
        asked: plain values that make it the same prediction: what such a one lacked (`UNREAD_FILE`) is looked
            at again, its files are replaced. None takes none for the same.

    Raises:
        InputError: the folder cannot be written to, has results already, or another process works in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            remove_attempts(folder)
            known, before = _incomplete(folder)
            earlier = before if ours or (asked is not None and known == asked) else []
            for name in () if ours else (RESULTS_FILE, IMAGES_FILE, VIDEO_FILE, UNREAD_FILE):
                if name not in earlier and os.path.lexists(folder / name):
                    lacks = f", or remove this one: {UNREAD_FILE} names what it lacks"
                    raise InputError(
                        f"{folder} holds predictions already ({name}); choose another folder or name"
                        + lacks * os.path.lexists(folder / UNREAD_FILE)
                    )
            work = Path(tempfile.mkdtemp(prefix=WORK, dir=folder))
            try:
                outputs = Outputs(folder, work, frames, ours, asked, earlier)
                try:
                    yield outputs
                finally:
                    outputs.close()
            finally:
                _remove_attempt(folder, work)
    except OSError as error:
        raise InputError(
            f"predictions cannot be written to {folder}: {error.strerror or error}; "
            "once that is mended the same command starts again"
        ) from None


def _incomplete(folder: Path) -> tuple[Any, list[str]]:
    """What was asked in a prediction that lacks some of its source, and its files; none if there is none."""
    with contextlib.suppress(OSError, ValueError, InputError):
        about = json.loads(read_bytes(folder / UNREAD_FILE))
        if isinstance(about, dict) and isinstance(about.get("files"), list):
            return about.get("asked"), [name for name in about["files"] if _is_name(name)]
    return None, []


def _is_name(name: object) -> bool:
    return isinstance(name, str) and Path(name).name == name


def remove_attempts(folder: Path) -> None:
    """Remove what prediction was writing into `folder` when it was killed."""
    for work in folder.glob(f"{WORK}*"):
        if work.is_dir() and not work.is_symlink():
            _remove_attempt(folder, work)


def _remove_attempt(folder: Path, work: Path) -> None:
    """Remove the folder `work`, and where it did not come to results what was put in place from it."""
    with contextlib.suppress(OSError, ValueError):
        _, earlier = _incomplete(folder)
        is_done = (folder / RESULTS_FILE).exists() and not earlier
        placed = "" if is_done else (work / PLACED).read_text(encoding="utf-8")
        for name in map(json.loads, placed.splitlines()):
            if _is_name(name) and name not in earlier:
                (folder / name).unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other predictions from the same folder.

    Raises:
        InputError: another one works there.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process writes predictions to {folder}; wait for it, or choose another folder"
            ) from None
        except OSError:
            pass  # some network file systems have no locks
        yield
    finally:
        os.close(descriptor)


class _Video:
    """A video that opens with its first frame, whose size is that of all."""

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._writer: Any = None
        self._size: tuple[int, int] | None = None
        self._frames = 0

    def add(self, image: UInt8Image) -> None:
        """Append `image` (H, W, 3) RGB; one of another size is fitted to the first one's."""
        size = (image.shape[1], image.shape[0])
        if self._writer is None:
            self._size = size
            self._writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size)
            if not self._writer.isOpened():
                raise InputError("the video cannot be written with this OpenCV; use draw=false")
        if size != self._size:
            image = cv2.resize(image, self._size)  # type: ignore[assignment]
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self._frames += 1

    def release(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.release()

    def close(self) -> bool:
        """End the file and see whether it is whole; False if there is none.

        Raises:
            InputError: frames are missing in it, as on a full disk, of which OpenCV says nothing.
        """
        if self._writer is None:
            return False
        self.release()
        capture = cv2.VideoCapture(str(self._path))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if count < self._frames:
            raise InputError(
                f"only {count} of {self._frames} frames of the drawn video could be written; "
                "is the disk full?"
            )
        return True


def jpeg(image: UInt8Image, name: str) -> bytes:
    """(H, W, 3) uint8 RGB as the bytes of a JPEG.

    Raises:
        InputError: it cannot be encoded.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise InputError(f"{name} cannot be encoded as JPEG")
    return data.tobytes()
