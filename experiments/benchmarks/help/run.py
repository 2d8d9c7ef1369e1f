"""How long every console script takes to answer `--help`, each time in a fresh process.

python experiments/benchmarks/help/run.py
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

from supernet.runs.files import write_json

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
REPEATS = 5


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one run; it must succeed and say something."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    elapsed = time.perf_counter() - start
    assert done.stdout
    return elapsed


def main() -> None:
    """Measure in rounds, for a slow phase to hit all alike; write result.json and print the table."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    folder = Path(sys.executable).parent
    commands = {script: [str(folder / script), "--help"] for script in scripts}
    # What Python and Hydra take by themselves.
    commands["import hydra"] = [sys.executable, "-c", "import hydra; print(hydra.__version__)"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(REPEATS):
        for name, command in commands.items():
            times[name].append(seconds(command))
    rows = {
        name: {"median": statistics.median(found), "max": max(found), "all": found}
        for name, found in times.items()
    }
    versions = {"python": platform.python_version(), "hydra-core": version("hydra-core")}
    write_json(HERE / "result.json", {"schema": 1, "repeats": REPEATS, "versions": versions, "seconds": rows})
    print("| command | median, s | slowest of 5, s |\n|---|---|---|")
    for name, row in rows.items():
        print(f"| `{name}` | {row['median']:.2f} | {row['max']:.2f} |")


if __name__ == "__main__":
    main()
