"""The real audit command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from warm import Warm

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(warm: Warm) -> Run:
    """`run(*overrides, cwd=folder)`: the real command."""
    return lambda *overrides, cwd: warm.run("supernet.audit", overrides, cwd)


def test_a_broken_set_is_summarised_and_listed(run: Run, crowdpose_root: Path, tmp_path: Path) -> None:
    (crowdpose_root / "images/100.jpg").unlink()
    (crowdpose_root / "images/101.jpg").write_bytes(b"")
    done = run("data=crowdpose", f"data.root={crowdpose_root}", "splits=[train,val]", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 records broken:" in done.stdout
    assert "image 100" in done.stdout
    for split, broken in (("train", 2), ("val", 0)):
        folder = tmp_path / "runs/audit/default" / split
        assert len(json.loads((folder / "audit.json").read_text())["broken"]) == broken
        assert (folder / "crowd_index.png").exists()


def test_a_split_that_is_not_there_is_named_after_the_others(
    run: Run, crowdpose_root: Path, tmp_path: Path
) -> None:
    # Train and val are there, test is not.
    given = ("data=crowdpose", f"data.root={crowdpose_root}", "pixels=false")
    done = run(*given, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout.count(" people (") == 2
    assert len(done.stderr.strip().splitlines()) == 1
    for text in ("not audited: test: ", "crowdpose_test.json does not exist", "(splits=[train,val] asks"):
        assert text in done.stderr
    folder = tmp_path / "runs/audit/default"
    assert {path.parent.name for path in folder.glob("*/audit.json")} == {"train", "val"}
    # The way out that it names.
    assert run(*given, "splits=[train,val]", cwd=tmp_path).returncode == 0


def test_another_data_set_does_not_overwrite_an_audit(run: Run, crowdpose_root: Path, tmp_path: Path) -> None:
    given = (f"data.root={crowdpose_root}", "pixels=false", "splits=[val]")
    assert run("data=crowdpose", *given, cwd=tmp_path).returncode == 0
    done = run("data=crowdpose", "data.val_split=train", *given, cwd=tmp_path)
    assert done.returncode == 2
    assert "was started with other settings (data.val_split: 'val' there, 'train' now)" in done.stderr
    assert '"crowdpose-val"' in (tmp_path / "runs/audit/default/val/audit.json").read_text()


def test_a_missing_set_and_an_unknown_split_are_one_line(
    run: Run, crowdpose_root: Path, tmp_path: Path
) -> None:
    for overrides, told in (
        (("data=crowdpose", "data.root=nowhere"), "nowhere"),
        (("data=crowdpose", f"data.root={crowdpose_root}", "splits=[tset]"), "split 'tset' is not one of"),
    ):
        done = run(*overrides, cwd=tmp_path)
        assert done.returncode == 2
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
