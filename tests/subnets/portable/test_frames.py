"""Sources: images, folders, videos, cameras, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from subnets.portable.frames import open_frames
from supernet import InputError


def picture(path: Path, value: int = 128, size: tuple[int, int] = (48, 64)) -> Path:
    image = np.full((*size, 3), value, np.uint8)
    image[:10, :10] = (0, 0, 255)
    assert cv2.imwrite(str(path), image)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames of growing brightness; Motion JPEG, so that a cut file still opens."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    rng = np.random.default_rng(0)
    for index in range(20):
        writer.write((10 * index + rng.integers(0, 40, (48, 64, 3))).astype(np.uint8))
    writer.release()
    return path


def test_an_image_is_rgb(tmp_path: Path) -> None:
    frames = open_frames(picture(tmp_path / "a.png"))
    (frame,) = frames
    assert (frames.kind, frames.total, frame.image_id, frame.name) == ("image", 1, 1, "a.png")
    assert frame.image[0, 0].tolist() == [255, 0, 0]


def test_a_folder_is_read_in_order_with_its_numbers(tmp_path: Path) -> None:
    for name in ("103.jpg", "20.JPG", "7.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    frames = open_frames(tmp_path)
    assert [(frame.name, frame.image_id) for frame in frames] == [
        ("103.jpg", 103),
        ("20.JPG", 20),
        ("7.png", 7),
    ]
    picture(tmp_path / "b.png")
    assert [frame.image_id for frame in open_frames(tmp_path)] == [1, 2, 3, 4]
    assert [frame.name for frame in open_frames(tmp_path, limit=2)] == ["103.jpg", "20.JPG"]


def test_equal_numbers_get_other_ids(tmp_path: Path) -> None:
    picture(tmp_path / "7.png")
    picture(tmp_path / "07.jpg")
    assert [frame.image_id for frame in open_frames(tmp_path)] == [1, 2]


def test_a_broken_image_of_a_folder_is_told_and_passed_over(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    data = picture(tmp_path / "b.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "c.png").write_bytes(b"")
    picture(tmp_path / "d.jpg")
    frames = open_frames(tmp_path)
    assert [frame.name for frame in frames] == ["a.jpg", "d.jpg"]
    assert [name in failure for name, failure in zip(("b.jpg", "c.png"), frames.failures, strict=True)] == [
        True,
        True,
    ]
    with pytest.raises(InputError, match=r"b\.jpg is a truncated JPEG"):
        list(open_frames(tmp_path / "b.jpg"))


def test_a_video_gives_its_frames_and_rate(video: Path) -> None:
    frames = open_frames(video)
    assert (frames.kind, frames.total, frames.rate) == ("video", 20, 10.0)
    means = [frame.image.mean() for frame in frames]
    assert np.abs(np.array(means) - 10 * np.arange(20) - 19.5).max() < 3
    assert frames.failures == []
    assert [frame.image_id for frame in open_frames(video, limit=3)] == [1, 2, 3]


def test_a_cut_video_is_told_after_its_frames(video: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.avi"
    data = video.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    frames = open_frames(cut)
    count = sum(1 for _ in frames)
    assert 0 < count < 20
    assert frames.failures == [f"video {cut} ends after {count} of 20 frames; is it truncated?"]


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"\0" * 5000)
    with pytest.raises(InputError, match=r"clip\.mp4 cannot be opened: truncated, or in a format"):
        open_frames(tmp_path / "clip.mp4")


def test_a_video_of_unknown_codec_is_named(video: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.avi"
    odd.write_bytes(video.read_bytes().replace(b"MJPG", b"QQQQ"))
    with pytest.raises(
        InputError, match=r"odd\.avi (gives no frames: OpenCV does not know its codec|cannot be opened)"
    ):
        list(open_frames(odd))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; give an image, a folder, a video or camera:0"):
        open_frames(tmp_path / "none.jpg")
    with pytest.raises(InputError, match="holds no images"):
        open_frames(tmp_path)
    with pytest.raises(InputError, match="camera 96 cannot be opened"):
        open_frames("camera:96")
    for limit in (0, -1):
        with pytest.raises(InputError, match=f"limit {limit} must be 1 or more"):
            open_frames(tmp_path, limit)


def test_a_camera_is_read_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    class Camera:
        def __init__(self, source: int) -> None:
            self.left = 3
            assert source == 1

        def isOpened(self) -> bool:
            return True

        def get(self, _: int) -> float:
            return 0.0

        def read(self) -> tuple[bool, Any]:
            self.left -= 1
            return self.left >= 0, np.zeros((4, 4, 3), np.uint8)

        def release(self) -> None:
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    frames = open_frames("camera:1")
    assert [frame.name for frame in frames] == ["camera 1 frame 1", "camera 1 frame 2", "camera 1 frame 3"]
    assert (frames.kind, frames.total, frames.rate) == ("camera", None, 25.0)
    assert frames.failures == ["camera 1 gives no more images"]
    assert len(list(open_frames("camera:1", limit=2))) == 2
