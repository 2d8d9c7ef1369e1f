"""The written data set: layout, determinism, reuse, resumption, refusal."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from supernet.data.opening import load_crowdpose
from supernet.data.source import DataConfig, spread_images
from supernet.data.synthetic.dataset import SyntheticOptions, ensure, state
from supernet.data.synthetic.scene import CATEGORY
from supernet.data.synthetic.worker import _start
from supernet.errors import InputError
from supernet.pose.protocols import crowd_index

OPTIONS = SyntheticOptions(seed=4, train=30, val=7, test=9, size=48, workers=1)
HALTED = dataclasses.replace(OPTIONS, train=100, size=32)


def fingerprint(root: Path) -> dict[str, str]:
    """The hash of every file below `root`."""
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure(tmp_path_factory.mktemp("synthetic") / "set", OPTIONS)


def test_layout(whole: Path) -> None:
    assert sorted(p.name for p in whole.iterdir()) == ["images", "json", "synthetic.json"]
    ids: set[int] = set()
    for split, count in (("train", 30), ("val", 7), ("test", 9)):
        document = json.loads((whole / "json" / f"crowdpose_{split}.json").read_text())
        assert list(document) == ["images", "annotations", "categories"]
        assert document["categories"] == [CATEGORY]
        assert len(document["images"]) == count
        annotations = document["annotations"]
        assert len({a["id"] for a in annotations}) == len(annotations)
        for image in document["images"]:
            assert set(image) == {"file_name", "id", "height", "width", "crowdIndex"}
            assert image["file_name"] == f"{image['id']}.jpg"
            picture = cv2.imread(str(whole / "images" / image["file_name"]))
            assert picture.shape == (image["height"], image["width"], 3)
            mine = [a for a in annotations if a["image_id"] == image["id"]]
            assert mine
            assert image["crowdIndex"] == crowd_index(mine)
        assert not ids & {image["id"] for image in document["images"]}
        ids |= {image["id"] for image in document["images"]}
    assert {p.name for p in (whole / "images").iterdir()} == {f"{i}.jpg" for i in ids}


def test_the_crowdpose_loader_reads_it(whole: Path) -> None:
    assert len(load_crowdpose(whole, "test")) == 9
    assert len(load_crowdpose(whole, "trainval")) == 37


def test_the_number_of_processes_does_not_matter(whole: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    options = dataclasses.replace(OPTIONS, workers=2)
    other = ensure(tmp_path / "set", options, lambda done, total: seen.append((done, total)))
    assert fingerprint(other) == fingerprint(whole)
    assert seen[-1] == (46, 46)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_another_seed_gives_other_pictures_and_other_counts_the_same_ones(
    whole: Path, tmp_path: Path
) -> None:
    small = dataclasses.replace(OPTIONS, train=1, val=1, test=1)
    first, other = ensure(tmp_path / "a", small), ensure(tmp_path / "b", dataclasses.replace(small, seed=5))
    name = "images/1000000.jpg"
    assert (first / name).read_bytes() == (whole / name).read_bytes()
    assert (other / name).read_bytes() != (whole / name).read_bytes()
    assert len(fingerprint(first)) == 7


def test_a_complete_set_is_reused_and_says_so(whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*")}
    assert state(whole, OPTIONS) == "complete"
    with caplog.at_level(logging.INFO):
        assert ensure(whole, dataclasses.replace(OPTIONS, workers=3)) == whole
    assert "is complete and is reused" in caplog.text
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*")} == before


def test_a_few_images_of_a_set_that_is_not_there_are_rendered_alone(whole: Path, tmp_path: Path) -> None:
    data = DataConfig(str(whole), "synthetic", render=OPTIONS)
    away = dataclasses.replace(data, root=str(tmp_path / "set"))
    for count in (4, 1, 99):
        ready, made = spread_images(data, "test", count), spread_images(away, "test", count)
        assert len(ready) == len(made) == min(count, OPTIONS.test)
        for one, other in zip(ready, made, strict=True):
            np.testing.assert_array_equal(one, other)
    assert not Path(away.root).exists()
    named = dataclasses.replace(away, train_split="json/mine.json")
    with pytest.raises(InputError, match=r"mine\.json"):
        spread_images(named, "train", 2)


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 5), ("train", 31), ("clutter", 0.1), ("people", (1.0,))]
)
def test_a_set_with_other_options_is_refused_untouched(whole: Path, name: str, value: object) -> None:
    before = fingerprint(whole)
    with pytest.raises(InputError, match=rf"was made with {name}=.*choose another data.root"):
        ensure(whole, dataclasses.replace(OPTIONS, **{name: value}))  # type: ignore[arg-type]
    assert fingerprint(whole) == before


def test_foreign_folders_are_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match="holds files that are no synthetic data set"):
        ensure(tmp_path, OPTIONS)
    assert list(fingerprint(tmp_path)) == ["images/1.jpg"]
    with pytest.raises(InputError, match="is a file"):
        ensure(tmp_path / "images" / "1.jpg", OPTIONS)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}'])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "synthetic.json").write_text(text)
    with pytest.raises(InputError, match=r"synthetic\.json"):
        ensure(tmp_path, OPTIONS)


def test_a_set_of_another_version_is_refused(whole: Path, tmp_path: Path) -> None:
    manifest = json.loads((whole / "synthetic.json").read_text())
    manifest["renderer"] += 1
    (tmp_path / "synthetic.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="renderer version"):
        ensure(tmp_path, OPTIONS)


def test_missing_files_of_a_complete_set_are_made_again(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, train=2, val=1, test=1)
    root = ensure(tmp_path / "set", options)
    before = fingerprint(root)
    (root / "images" / "1000001.jpg").unlink()
    (root / "json" / "crowdpose_val.json").unlink()
    (root / "images" / ".1000001.jpg.part-abcdefgh.jpg").write_bytes(b"killed")
    assert state(root, options) == "partial"
    ensure(root, options)
    assert fingerprint(root) == before


def test_a_set_killed_when_all_was_done_is_tidied(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, train=1, val=1, test=1)
    root = ensure(tmp_path / "set", options)
    before = fingerprint(root)
    (root / "parts").mkdir()
    ensure(root, options)
    assert not (root / "parts").exists()
    assert fingerprint(root) == before


def test_a_truncated_image_of_a_half_written_set_is_made_again(tmp_path: Path) -> None:
    options = dataclasses.replace(OPTIONS, train=2, val=1, test=1)
    root = ensure(tmp_path / "set", options)
    before = fingerprint(root)
    manifest = json.loads((root / "synthetic.json").read_text())
    (root / "synthetic.json").write_text(json.dumps({**manifest, "complete": False}))
    image = root / "images" / "1000001.jpg"
    image.write_bytes(image.read_bytes()[:100])
    ensure(root, options)
    assert fingerprint(root)["images/1000001.jpg"] == before["images/1000001.jpg"]


def start(root: Path, options: SyntheticOptions) -> subprocess.Popen[bytes]:
    """`ensure` in another process that leads its own process group."""
    code = (
        "import sys, json; from supernet.data.synthetic.dataset import SyntheticOptions, ensure\n"
        "o = json.loads(sys.argv[2]); o = {k: tuple(v) if isinstance(v, list) else v for k, v in o.items()}\n"
        "ensure(sys.argv[1], SyntheticOptions(**o))"
    )
    arguments = [sys.executable, "-c", code, str(root), json.dumps(dataclasses.asdict(options))]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return fingerprint(ensure(tmp_path_factory.mktemp("direct") / "set", HALTED))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_set_killed_half_way_is_completed(
    tmp_path: Path, workers: int, direct: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    options = dataclasses.replace(HALTED, workers=workers)
    root = tmp_path / "set"
    process = start(root, options)
    deadline = time.monotonic() + 60
    while not list((root / "parts").glob("train_*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert state(root, options) == "partial"
    kept = {p.name: p.stat().st_mtime_ns for p in (root / "images").glob("1000000.jpg")}
    with caplog.at_level(logging.INFO):
        ensure(root, options)
    assert "half-written, completing" in caplog.text
    assert {p.name: p.stat().st_mtime_ns for p in (root / "images").glob("1000000.jpg")} == kept
    assert fingerprint(root) == direct


def test_two_processes_at_once_give_one_whole_set(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    processes = [start(root, OPTIONS) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    assert fingerprint(root) == fingerprint(whole)


def test_workers_run_the_code_of_their_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *_, env, **__: started.append(env))
    _start()
    assert Path(started[0]["PYTHONPATH"].split(os.pathsep)[0]) == Path(__file__).resolve().parents[3]


def test_a_dead_worker_is_an_error_and_loses_nothing_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supernet.data.synthetic.worker.sys.executable", "/bin/false")
    options = dataclasses.replace(OPTIONS, workers=2)
    with pytest.raises(InputError, match="worker died"):
        ensure(tmp_path / "set", options)
    monkeypatch.undo()
    # What a worker cannot write is told as if this process could not: a folder, labels that are too long.
    wrong = tmp_path / "set" / "images" / "1000000.jpg"
    wrong.mkdir()
    with pytest.raises(InputError, match=r"1000000\.jpg is a folder"):
        ensure(tmp_path / "set", options)
    wrong.rmdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            ensure(tmp_path / "set", options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert state(ensure(tmp_path / "set", options), options) == "complete"
