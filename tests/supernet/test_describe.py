"""`python -m supernet.describe`: tables on the screen, one line for what is wrong, nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def describe(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supernet.describe", *overrides],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_tables(tmp_path: Path) -> None:
    done = describe(tmp_path, "arch=litepose-s", "space=litepose", "input_shape=[448,640]")
    assert done.returncode == 0, done.stderr
    assert "Cost by layer at 448x640" in done.stdout
    assert "5,163.06" in done.stdout
    assert "10,895.43 M" in done.stdout
    done = describe(tmp_path)
    assert "litepose-prune-l" in done.stdout
    assert "Space litepose_expand" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_wrong_input_is_one_line(tmp_path: Path) -> None:
    for overrides, message in (
        (["arch=litepose-s", "space=nowhere.yaml"], "does not exist"),
        (["arch=litepose-s", "input_shape=[448]"], "input_shape"),
    ):
        done = describe(tmp_path, *overrides)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
