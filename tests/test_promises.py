"""docs/promises.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs/promises.md"


def test_every_promise_names_a_test() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "test |" not in line]
    assert rows
    for row in rows:
        names = re.findall(r"`([\w/]*test_\w+\.py)`", row)
        assert names, row
        folder = TESTS
        for name in names:
            # A name alone lies beside the one before it.
            folder = folder if "/" not in name and (folder / name).exists() else (TESTS / name).parent
            assert (folder / Path(name).name).exists(), name
