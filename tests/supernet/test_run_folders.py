"""Run folders: whose they are, and what failed starts leave in them."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from warm import Warm

from supernet import InputError
from supernet.cli import is_users, one_line
from supernet.runs.folders import check_run_name, claim_run_folder, hold_run_folder


@dataclass
class Settings:
    steps: int = 1
    workers: int = 0


def test_the_same_settings_go_on_and_others_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert not claim_run_folder(folder, Settings())
    (folder / "log.jsonl").touch()
    assert claim_run_folder(folder, Settings(workers=4), volatile=("workers",))
    with pytest.raises(InputError, match=r"started with other settings \(steps: 1 there, 2 now\)"):
        claim_run_folder(folder, Settings(steps=2, workers=4))
    # Kept by a version that did not know `workers`: they had their default.
    (folder / "config.yaml").write_text("steps: 1")
    assert claim_run_folder(folder, Settings())
    with pytest.raises(InputError, match=r"other settings \(workers: 0 there, 4 now\)"):
        claim_run_folder(folder, Settings(workers=4))


@pytest.mark.parametrize("text", ["", "{}", "[]", "3"])
def test_a_run_config_that_holds_no_settings_is_told(tmp_path: Path, text: str) -> None:
    claim_run_folder(tmp_path, Settings())
    (tmp_path / "log.jsonl").touch()
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml holds no settings"):
        claim_run_folder(tmp_path, Settings())


def test_a_start_that_made_nothing_holds_no_one_to_its_settings(tmp_path: Path) -> None:
    assert not claim_run_folder(tmp_path / "run", Settings())
    assert not claim_run_folder(tmp_path / "run", Settings(steps=2))
    assert claim_run_folder(tmp_path / "run", Settings(steps=2))


@pytest.mark.parametrize("left", [".config.yaml.part-abc123_x.yaml", ".config.yaml.abc123.yaml", ".lock"])
def test_a_start_killed_in_its_first_write_locks_nobody_out(tmp_path: Path, left: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / left).write_text("half")
    assert not claim_run_folder(folder, Settings())
    assert ".part-" not in "".join(path.name for path in folder.iterdir())


def test_a_held_folder_is_free_again_and_keeps_nothing_of_the_lock(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    hold = (
        "import sys; from pathlib import Path; from supernet.runs.folders import alone_in\n"
        "with alone_in(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hold, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"another process works in run folder {folder}"):
            hold_run_folder(folder, Settings()).__enter__()
        assert [path.name for path in folder.iterdir()] == [".lock"]
    finally:
        process.kill()
        process.wait()
    # The killed holder's lock file is still there and holds nobody up, nor to any settings.
    for steps in (1, 2):
        with hold_run_folder(folder, Settings(steps)):
            assert {path.name for path in folder.iterdir()} == {".lock", "config.yaml"}
        assert [path.name for path in folder.iterdir()] == ["config.yaml"]


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(InputError, match="holds other files"):
        claim_run_folder(tmp_path, Settings())


def test_bad_input_can_be_mended_under_the_same_name(warm: Warm, tmp_path: Path) -> None:
    def train(*overrides: str) -> subprocess.CompletedProcess[str]:
        return warm.run("supernet.train", ["name=x", *overrides], tmp_path)

    first = train("data=crowdpose", "data.root=nowhere")
    second = train("space=nowhere")
    assert (first.returncode, second.returncode) == (2, 2)
    assert "other settings" not in second.stderr
    misspelt = train("train.stepz=3")
    assert misspelt.stderr.startswith("error: Could not override 'train.stepz'.")
    assert "To append" not in misspelt.stderr
    assert "full_key" not in misspelt.stderr


@pytest.mark.parametrize("name", ["../x", "..", ".", "", " ", "/tmp/x", "a/b", "a\\b", ".hidden"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="cannot name a run folder"):
        check_run_name(name)


@pytest.mark.parametrize("flags", [(), ("-m",)])
def test_nothing_is_made_outside_the_runs(warm: Warm, tmp_path: Path, flags: tuple[str, ...]) -> None:
    given = [*flags, "arch=litepose-xs", "weights=a.pth", "name=../x"]
    done = warm.run("subnets.convert", given, tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "error: name=../x cannot name a run folder; use letters and digits, without / or \\"
    ]
    assert not list(tmp_path.iterdir())


def test_a_missing_setting_is_named(warm: Warm, tmp_path: Path) -> None:
    done = warm.run("subnets.predict", [], tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: predict needs source=...; see --help\n")


def test_a_place_that_cannot_be_written_is_one_line(warm: Warm, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    done = warm.run("subnets.convert", ["arch=litepose-xs", "weights=a.pth", "name=x"], tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: runs/convert/x cannot be read or written: Not a directory\n"


def test_only_the_users_faults_are_told_in_one_line() -> None:
    assert is_users(InputError("bad"))
    assert is_users(OSError(errno.EROFS, "Read-only file system", "runs"))
    assert not is_users(FileNotFoundError(errno.ENOENT, "No such file or directory", "x"))
    assert not is_users(RuntimeError("a bug"))


@pytest.mark.parametrize("take", [bytearray, lambda size: torch.empty(size, dtype=torch.uint8), np.empty])
def test_what_no_memory_holds_is_one_line(take: Callable[[int], object]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        take(2**50)
    assert is_users(caught.value)
    assert one_line(caught.value).startswith("there is not enough memory")


def test_a_huge_value_is_cut_in_the_middle_of_the_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"steps: {'x' * 5000}\nworkers: 0\n")
    (tmp_path / "log.jsonl").touch()
    with pytest.raises(InputError) as caught:
        claim_run_folder(tmp_path, Settings())
    assert len(str(caught.value)) == 1005
    assert str(tmp_path) in str(caught.value)
    assert str(caught.value).endswith("choose another name=..., or remove the folder")
