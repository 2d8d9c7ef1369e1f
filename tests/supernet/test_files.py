"""Files and folders appear whole or not at all; what cannot be read is one line."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from supernet import InputError
from supernet.errors import check_keys, positive_int, positive_ints, shown
from supernet.runs.files import (
    atomic_path,
    new_folder,
    read_json,
    read_text,
    read_yaml,
    remove_litter,
    write_json,
    write_text,
)
from supernet.runs.log import read_log

ROOT = Path(__file__).resolve().parents[2]


def write_half(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise RuntimeError("half way")


def fill_half(path: Path) -> None:
    with new_folder(path) as temporary:
        (temporary / "a").write_text("x")
        raise RuntimeError("half way")


def fill_slowly(path: Path) -> None:
    with new_folder(path) as temporary:
        (temporary / "a").write_text("mine")
        path.mkdir()
        (path / "a").write_text("theirs")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "a.txt"
    write_text(file, "old")
    with pytest.raises(RuntimeError, match="half way"):
        write_half(file)
    assert file.read_text() == "old"
    assert os.listdir(file.parent) == ["a.txt"]


def test_a_folder_in_the_place_of_a_file_stays(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder where a file is to be written"):
        write_half(tmp_path)
    assert os.listdir(tmp_path) == []


def test_files_have_the_usual_mode(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_new_folder_is_whole_or_absent(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "net"
    with new_folder(target) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a").write_text("x")
        assert not target.exists()
    assert (target / "sub" / "a").read_text() == "x"
    with pytest.raises(RuntimeError, match="half way"):
        fill_half(tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == ["deep"]
    with pytest.raises(InputError, match="exists already"), new_folder(target):
        pass


def test_a_killed_writer_leaves_no_folder_of_that_name(tmp_path: Path) -> None:
    code = f"""
import time
from supernet.runs.files import new_folder
with new_folder({str(tmp_path / "net")!r}) as folder:
    (folder / "a").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "net").exists()
    with new_folder(tmp_path / "net") as folder:
        (folder / "a").write_text("whole")
    assert (tmp_path / "net" / "a").read_text() == "whole"


def test_someone_else_is_faster(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be made"):
        fill_slowly(tmp_path / "net")
    assert (tmp_path / "net" / "a").read_text() == "theirs"
    assert os.listdir(tmp_path) == ["net"]


def test_reading(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1, None]})
    assert read_json(tmp_path / "a.json") == {"a": [1, None]}
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b"[1]"))
    assert read_json(tmp_path / "a.json.gz") == [1]
    assert read_yaml(tmp_path / "a.json") == {"a": [1, None]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "not valid JSON"),
        ("a.json", b"[" * 100_000, "not valid JSON"),
        ("a.json", b"\xff\xfe", "is not valid JSON"),
        ("a.json.gz", b"not gzip", "cannot be read"),
        ("a.json.gz", gzip.compress(b"[1]" * 100, mtime=0)[:-9], "cannot be read"),
    ],
)
def test_damaged_json(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_json(tmp_path / name, "annotations")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("annotations ")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_text(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path)


def test_checks() -> None:
    assert positive_int(65536, "x") == 65536
    assert positive_ints((1, 2), "x") == (1, 2)
    for wrong in (True, 0, 65537, 1.0, "1", None):
        with pytest.raises(InputError, match="x: "):
            positive_int(wrong, "x")
    with pytest.raises(InputError, match=r"where: unknown key 'c' \(known: a, b\)"):
        check_keys({"a": 1, "c": 2}, required=("a",), optional=("b",), what="where")
    # 2 ** 60 leaves: writing it out would never end.
    nested: list[object] = []
    for _ in range(60):
        nested = [nested, nested]
    assert len(shown(nested)) < 1000


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text("stem: [16]\nwidth: 8\nstem: [24]\n")
    with pytest.raises(InputError, match="key 'stem' is there more than once"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("annotations.json", '{"images": [{"id": 1, "id": 2}], "annotations": []}', "id"),
        ("detections.json", '[{"image_id": 1, "score": 0.5, "image_id": 2}]', "image_id"),
        ("candidates.json.gz", '{"schema": 1, "schema": 1}', "schema"),
    ],
)
def test_a_key_of_json_that_is_there_twice_is_refused(name: str, text: str, key: str, tmp_path: Path) -> None:
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    with pytest.raises(InputError, match=rf"not valid JSON \(key '{key}' is there more than once\)$"):
        read_json(tmp_path / name)


def test_a_key_of_a_log_line_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0, "loss": 3.0}\n')
    with pytest.raises(InputError, match="line 1 of log"):
        read_log(tmp_path / "log.jsonl")


KILLED = """
import os, signal, sys
from pathlib import Path
from supernet.runs.files import atomic_path, new_folder
target = Path(sys.argv[1])
with new_folder(target / "net") as folder, atomic_path(target / "config.yaml") as file:
    (folder / "a").write_text("half")
    file.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 2
    (folder / ".hidden.part-x").write_text("a user's own")
    (folder / "deep").mkdir()
    (folder / "link").symlink_to(tmp_path)
    outside = tmp_path / ".b.part-12345678"
    outside.write_text("not in this folder")
    with atomic_path(folder / "deep" / "b.txt") as alive:
        alive.write_text("whole")
        remove_litter(folder)
        assert sorted(path.name for path in folder.iterdir()) == [".hidden.part-x", "deep", "link"]
    assert (folder / "deep" / "b.txt").read_text() == "whole"
    assert outside.exists()


def test_a_new_folder_removes_what_was_left_of_it(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, check=False)
    with new_folder(tmp_path / "net") as alive, new_folder(tmp_path / "net2"):
        (alive / "a").write_text("whole")
        assert len([path for path in tmp_path.iterdir() if path.name.startswith(".net.")]) == 1
    assert (tmp_path / "net" / "a").read_text() == "whole"
