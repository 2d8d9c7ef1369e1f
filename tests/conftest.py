"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two test processes share two cores; more threads in each would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data beside the checkout; tests that need it are skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the data folder beside the checkout (../shared) is absent")
    return folder
