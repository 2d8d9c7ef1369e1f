"""Prediction from end to end: results, pictures, videos, bounded memory, what is in the way."""

from __future__ import annotations

import errno
import gc
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from subnets.portable import outputs
from subnets.portable.frames import Frame, Frames, open_frames
from subnets.portable.main import summary_lines
from subnets.portable.outputs import WORK
from subnets.portable.predicting import predict
from subnets.portable.predictor import Predictor, PredictorOptions
from supernet import InputError
from supernet.pose import InferenceOptions, Skeleton, infer
from supernet.pose.grouping import DecodeOptions

SKELETON = Skeleton.load("crowdpose")
JOINTS = SKELETON.num_joints
RESOLUTION = 64


def one_person(images: Any) -> list[np.ndarray]:
    """A network that sees one person in every image: joint j at column 4 + 2 j of row 10 of the half map."""
    batch, _, height, width = images.shape
    quarter = np.zeros((batch, 2 * JOINTS, height // 4, width // 4), np.float32)
    half = np.zeros((batch, JOINTS, height // 2, width // 2), np.float32)
    for joint in range(JOINTS):
        half[:, joint, 10, 4 + 2 * joint % (width // 2 - 8)] = 1.0
    return [quarter, half]


def predictor(**options: Any) -> Predictor:
    return Predictor(one_person, SKELETON, PredictorOptions(RESOLUTION, **options))


def clip(path: Path, count: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10.0, (64, 64))
    for index in range(count):
        writer.write(np.full((64, 64, 3), index % 200, np.uint8))
    writer.release()
    return path


def test_the_three_steps_are_inference() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 140, 3), np.uint8)
    for flip, scales in ((False, (1.0,)), (True, (1.0,)), (True, (0.5, 1.0, 2.0))):
        decode = DecodeOptions(threshold=0.01)
        found = predictor(flip=flip, scales=scales, decode=decode)(image)
        options = InferenceOptions(RESOLUTION, flip=flip, scales=scales, decode=decode)
        (expected,) = infer(one_person, [image], SKELETON, options)
        np.testing.assert_array_equal(found.keypoints, expected.keypoints)
        assert len(found) >= 1


def test_a_network_of_one_shape_gets_it_and_people_come_back_in_place() -> None:
    shapes = []

    def run(images: Any) -> list[np.ndarray]:
        shapes.append(images.shape)
        return one_person(images)

    options = PredictorOptions(RESOLUTION, input_shape=(64, 96))
    people = Predictor(run, SKELETON, options)(np.zeros((200, 200, 3), np.uint8))
    assert shapes == [(1, 3, 64, 96)]
    # 200 pixels become 64, with 16 columns of black on each side; the half map's pixel (row 10, column 4)
    # is centred on (9, 21) of the input.
    assert np.abs(people.keypoints[0, 0, :2] - [(9 - 16) / 0.32, 21 / 0.32]).max() < 0.01


def test_options_that_exclude_each_other() -> None:
    with pytest.raises(InputError, match="need heatmaps"):
        PredictorOptions(64, peaks=True, flip=True)
    with pytest.raises(InputError, match="takes any input shape"):
        PredictorOptions(64, input_shape=(64, 64), scales=(0.5, 1.0))


def test_weak_people_are_left_out() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    assert len(predictor(decode=DecodeOptions(threshold=0.1))(image)) == 1
    assert len(predictor(min_score=0.9)(image)) == 0


def test_a_folder_leaves_results_names_and_pictures(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("12.png", "3.jpg"):
        cv2.imwrite(str(tmp_path / "in" / name), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "in" / "._3.jpg").write_bytes(b"Mac OS X")
    summary = predict(open_frames(tmp_path / "in"), predictor(), tmp_path / "out")
    results = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [(r["image_id"], r["category_id"], len(r["keypoints"])) for r in results] == [
        (12, 1, 42),
        (3, 1, 42),
    ]
    images = json.loads((tmp_path / "out" / "images.json").read_text())
    assert [image["file_name"] for image in images] == ["12.png", "3.jpg"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jpg")) == ["12.jpg", "3.jpg"]
    assert cv2.imread(str(tmp_path / "out" / "12.jpg")).any(), "a skeleton is drawn on the black picture"
    assert (summary.frames, summary.people, summary.failures) == (2, 2, [])
    assert set(summary.busy) == {"read", "prepare", "network", "group", "draw", "write"}


def test_a_video_becomes_a_video(tmp_path: Path) -> None:
    seen = []
    frames = open_frames(clip(tmp_path / "clip.mp4", 12))
    summary = predict(
        frames, predictor(), tmp_path / "out", meter=True, progress=lambda s: seen.append(s.frames)
    )
    assert seen == list(range(1, 13))
    again = open_frames(tmp_path / "out" / "video.mp4")
    assert (sum(1 for _ in again), again.rate, summary.people) == (12, 10.0, 12)
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 12
    quiet = predict(open_frames(tmp_path / "clip.mp4"), predictor(), tmp_path / "quiet", drawn=False)
    assert quiet.frames == 12
    assert not (tmp_path / "quiet" / "video.mp4").exists()


def test_three_hundred_frames_stream_in_bounded_memory(tmp_path: Path) -> None:
    frames = open_frames(clip(tmp_path / "clip.mp4", 300))
    alive = []

    def count(summary: Any) -> None:
        if summary.frames % 25 == 0:
            alive.append(sum(1 for item in gc.get_objects() if type(item) is Frame))

    summary = predict(frames, predictor(), tmp_path / "out", progress=count)
    assert summary.frames == 300
    # Four queues of four, one frame in the hands of each of five threads, and one being made.
    assert max(alive) <= 4 * 4 + 5 + 1


def test_results_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "predictions.json").write_text("mine")
    frames = open_frames(clip(tmp_path / "clip.mp4", 3))
    with pytest.raises(InputError, match=r"holds predictions already \(predictions\.json\)"):
        predict(frames, predictor(), tmp_path)
    (tmp_path / "unread.json").write_text("mine")
    with pytest.raises(InputError, match=r"\(predictions\.json\); .* remove this one: unread\.json names"):
        predict(frames, predictor(), tmp_path)
    assert (tmp_path / "predictions.json").read_text() == "mine"


def test_the_same_command_completes_what_lacked_a_picture(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "in", "a.png", "b.png", "c.png"), tmp_path / "out"
    good = (source / "b.png").read_bytes()
    (source / "b.png").write_bytes(good[:40])
    out.mkdir()
    (out / "c.jpg").write_text("mine")
    whole = {"a.jpg", "c.png.jpg", "c.jpg", "images.json", "predictions.json"}

    def start(asked: Any = "this", **settings: Any) -> set[str]:
        predict(open_frames(source), predictor(), out, asked=asked, **settings)
        return {path.name for path in out.iterdir()}

    def killed(summary: Any) -> None:
        if summary.frames == 3:
            raise RuntimeError("killed")

    assert start() == start() == {*whole, "unread.json"}
    with pytest.raises(InputError, match="remove this one: unread"):
        start("that")
    (source / "b.png").write_bytes(good)
    with pytest.raises(RuntimeError, match="killed"):
        start(progress=killed)
    assert {path.name for path in out.iterdir()} == {*whole, "unread.json"}
    assert start() == {*whole, "b.jpg"}
    assert (out / "c.jpg").read_text() == "mine"
    assert len(json.loads((out / "images.json").read_text())) == 3
    with pytest.raises(InputError, match="holds predictions already"):
        start()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    frames = open_frames(clip(tmp_path / "clip.mp4", 3))
    with pytest.raises(InputError, match="predictions cannot be written to"):
        predict(frames, predictor(), tmp_path / "file" / "out")


def test_a_failure_leaves_no_half_results(tmp_path: Path) -> None:
    def fail(_: Any) -> Any:
        raise RuntimeError("device lost")

    frames = open_frames(clip(tmp_path / "clip.mp4", 3))
    with pytest.raises(RuntimeError, match="device lost"):
        predict(frames, Predictor(fail, SKELETON, PredictorOptions(RESOLUTION)), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_video_that_fails_half_way_is_not_in_the_way_of_the_next_start(tmp_path: Path) -> None:
    def fail(summary: Any) -> None:
        if summary.frames == 2:
            raise RuntimeError("disk lost")

    source = clip(tmp_path / "clip.mp4", 5)
    with pytest.raises(RuntimeError, match="disk lost"):
        predict(open_frames(source), predictor(), tmp_path / "out", progress=fail)
    assert list((tmp_path / "out").iterdir()) == []
    predict(open_frames(source), predictor(), tmp_path / "out")
    assert sum(1 for _ in open_frames(tmp_path / "out" / "video.mp4")) == 5


def test_an_interrupt_keeps_what_was_found(tmp_path: Path) -> None:
    def stop(summary: Any) -> None:
        if summary.frames == 2:
            raise KeyboardInterrupt

    summary = predict(
        open_frames(clip(tmp_path / "clip.mp4", 50)), predictor(), tmp_path / "out", progress=stop
    )
    assert summary.interrupted
    assert summary_lines(summary, tmp_path)[0].startswith("stopped by hand")
    summary.deeper = 2
    assert summary_lines(summary, tmp_path)[-1].startswith("deeper folders (2) are not looked into")
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 2


def test_no_people_give_an_empty_list(tmp_path: Path) -> None:
    def nobody(images: Any) -> list[np.ndarray]:
        return [0 * value for value in one_person(images)]

    frames = Frames(
        "image", "a", 1, 0.0, lambda _: iter([Frame(0, 1, "a.png", np.zeros((64, 64, 3), np.uint8))])
    )
    predict(frames, Predictor(nobody, SKELETON, PredictorOptions(RESOLUTION)), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "predictions.json").read_text()) == []


def folder_of(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        cv2.imwrite(str(path / name), np.full((64, 64, 3), 99, np.uint8))
    return path


def test_files_that_are_there_are_not_replaced(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", "a.jpg", "a.png", "b.png")
    mine = {name: (source / name).read_bytes() for name in ("a.jpg", "a.png", "b.png")}
    predict(open_frames(source), predictor(), source)
    assert {name: (source / name).read_bytes() for name in mine} == mine
    others = {path.name for path in source.iterdir()} - set(mine)
    assert others == {"a.jpg.jpg", "a.png.jpg", "b.jpg", "images.json", "predictions.json"}


def test_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "in", "a.png", "b.png"), tmp_path / "out"
    work = out / f"{WORK}abc"
    work.mkdir(parents=True)
    (out / "mine.txt").write_text("mine")
    (tmp_path / "outside.jpg").write_text("not ours")
    (work / "placed").write_text('"a.jpg"\n"gone.jpg"\n"../outside.jpg"\n"cut')
    (out / "a.jpg").write_bytes(b"of the killed one")
    predict(open_frames(source), predictor(), out)
    names = {"a.jpg", "b.jpg", "images.json", "mine.txt", "predictions.json"}
    assert {path.name for path in out.iterdir()} == names
    assert (tmp_path / "outside.jpg").exists()


def test_links_are_not_written_through(tmp_path: Path) -> None:
    source, out = folder_of(tmp_path / "in", "a.png"), tmp_path / "out"
    (tmp_path / "victim").write_text("victim")
    out.mkdir()
    for name in ("a.jpg", ".part.video.mp4", ".a.jpg.part", f"{WORK}x"):
        (out / name).symlink_to(tmp_path / "victim")
    predict(open_frames(source), predictor(), out, ours=True)
    assert (tmp_path / "victim").read_text() == "victim"
    assert cv2.imread(str(out / "a.jpg")) is not None


@pytest.mark.parametrize("kind", ["in", "clip.mp4"])
def test_a_full_disk_is_one_line_and_completes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder_of(tmp_path / "in", "a.png", "b.png")
    clip(tmp_path / "clip.mp4", 5)
    write, out = Path.write_bytes, tmp_path / "out"

    def full(path: Path, data: bytes) -> int:
        if path.parent.name.startswith(WORK) and (out / "a.jpg").exists():
            write(path, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        # OpenCV says nothing when a video cannot be written.
        patch.setattr(cv2.VideoWriter, "fourcc", lambda *letters: 0x7634706D)
        patch.setattr(outputs._Video, "release", lambda self: cut(self._path, self._writer))
        with pytest.raises(InputError, match=r"No space left on device|of the drawn video could be written"):
            predict(open_frames(tmp_path / kind), predictor(), out)
    assert list(out.iterdir()) == []
    assert predict(open_frames(tmp_path / kind), predictor(), out).frames in (2, 5)


def cut(path: Path, writer: Any) -> None:
    if writer is not None:
        writer.release()
        os.truncate(path, 100)


def test_two_predictions_do_not_share_a_folder(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "in", "a.png")
    with (
        outputs.open_outputs(tmp_path / "out", open_frames(source)),
        pytest.raises(InputError, match="another process writes predictions"),
    ):
        predict(open_frames(source), predictor(), tmp_path / "out")


def test_long_names_get_pictures(tmp_path: Path) -> None:
    name = "\N{GREEK SMALL LETTER ALPHA}" * 125
    source = folder_of(tmp_path / "in", f"{name}.png", f"{name}.jpg")
    summary = predict(open_frames(source), predictor(), tmp_path / "out")
    assert (summary.frames, summary.failures) == (2, [])
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 2
