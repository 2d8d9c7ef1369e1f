"""The campaign of experiments/faults in short: damaged files of all kinds that take little time to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# In turn of each of 17 kinds.
MUTATIONS = 300


@pytest.mark.slow
def test_damaged_files_end_in_one_line_or_in_the_same_result(tmp_path: Path) -> None:
    script = ROOT / "experiments" / "faults" / "run.py"
    options = ["--quick", "--mutations", str(MUTATIONS), "--seed", "21", "--output", str(tmp_path)]
    command = [sys.executable, str(script), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["mutations"] == MUTATIONS
    assert result["failures"] == []
