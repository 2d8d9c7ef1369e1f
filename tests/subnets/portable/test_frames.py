"""Sources: images, folders, videos, cameras, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from subnets.portable.frames import _begins_well, open_frames
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
    (tmp_path / "day" / "one").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds no images .*; deeper folders \(1\) are not looked into"):
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


def test_other_kinds_of_pictures_are_told(tmp_path: Path) -> None:
    (tmp_path / "c.HEIC").write_bytes(b"....ftypheic")
    with pytest.raises(InputError, match=r"holds no images .*c\.HEIC is not read, convert it to JPEG or PNG"):
        open_frames(tmp_path)
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.gif")
    frames = open_frames(tmp_path)
    assert [frame.name for frame in frames] == ["a.png"]
    assert [Path(failure.split(" is ")[0]).name for failure in frames.failures] == ["b.gif", "c.HEIC"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright(tmp_path: Path, orientation: int) -> None:
    """The red corner of `picture` is stored where the tag says, and seen at the top left."""
    image = cv2.imread(str(picture(tmp_path / "a.png")))
    stored = image.swapaxes(0, 1) if orientation >= 5 else image
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (0,), 7: (0, 1), 8: (1,)}.get(orientation, ())
    stored = np.flip(stored, flips) if flips else stored
    data = cv2.imencode(".jpg", np.ascontiguousarray(stored), [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    tag = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag
    (tmp_path / "b.jpg").write_bytes(data[:2] + segment + data[2:])
    (frame,) = open_frames(tmp_path / "b.jpg")
    assert frame.image.shape == image.shape
    red, green, _ = frame.image[4, 4].tolist()
    assert (red > 200, green < 60) == (True, True)
    told = {"frame": "upright", "exif_orientation": orientation}
    assert frame.turned == ({} if orientation == 1 else told)


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".mkv"])
def test_a_video_without_its_head_is_told(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"\0\0\0\0\0\0\0\0\0\0\0\0")
    assert not _begins_well(tmp_path / f"a{suffix}")


def test_a_video_cut_at_its_head_is_told(video: Path, tmp_path: Path) -> None:
    assert _begins_well(video)
    data = video.read_bytes()
    cut = tmp_path / "cut.avi"
    cut.write_bytes(data[len(data) // 2 :])
    try:
        frames = open_frames(cut)
        assert sum(1 for _ in frames) < 20
    except InputError:
        return
    assert any("lacks its beginning" in failure for failure in frames.failures)
