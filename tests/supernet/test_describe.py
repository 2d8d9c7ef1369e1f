"""`python -m supernet.describe`: tables on the screen, one line for what is wrong, nothing written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from warm import Warm, environment

Describe = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def describe(warm: Warm) -> Describe:
    """`describe(folder, *overrides)`: the real command on a screen of 160 columns."""
    wide = environment() | {"COLUMNS": "160"}
    return lambda folder, *overrides: warm.run("supernet.describe", overrides, folder, wide)


def test_tables(describe: Describe, tmp_path: Path) -> None:
    done = describe(tmp_path, "arch=litepose-s", "space=litepose", "input_shape=[448,640]")
    assert done.returncode == 0, done.stderr
    assert "Cost by layer at 448x640" in done.stdout
    assert "5,163.06" in done.stdout
    assert "10,895.43 M" in done.stdout
    done = describe(tmp_path)
    assert "litepose-prune-l" in done.stdout
    assert "Space litepose_expand" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_wrong_input_is_one_line(describe: Describe, tmp_path: Path) -> None:
    for overrides, message in (
        (["arch=litepose-s", "space=nowhere.yaml"], "does not exist"),
        (["arch=litepose-s", "input_shape=[448]"], "input_shape"),
    ):
        done = describe(tmp_path, *overrides)
        assert done.returncode == 2
        assert message in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
