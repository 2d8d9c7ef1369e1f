"""Bar 6: the same search twice, and once more by two workers, in processes of their own.

    python experiments/search/repeat.py RUN

RUN is a trained supernet. Compares everything the searches recorded but durations; writes repeat.json beside
this file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SETTINGS = [
    "search.evaluations=36",
    "search.batch=8",
    "search.baseline=2",
    "evaluation.images=50",
    "evaluation.calibration_images=20",
    "budgets.macs=[0.3,0.45,0.65,0.85]",
    "threads=1",
]


def one(run: str, folder: Path, *more: str) -> dict[str, Any]:
    """What a search recorded, durations left out."""
    command = [sys.executable, "-m", "search.run", f"supernet={run}", f"hydra.run.dir={folder}"]
    subprocess.run([*command, *SETTINGS, *more], check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads((folder / "candidates.json").read_text())
    for candidate in found["candidates"]:
        del candidate["seconds"]
    return found


def main(run: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        first = one(run, Path(place) / "first")
        again = one(run, Path(place) / "again")
        shared = one(run, Path(place) / "shared", "search.workers=2")
        other = one(run, Path(place) / "other", "seed=1")
    result = {
        "settings": SETTINGS,
        "candidates": len(first["candidates"]),
        "again_equal": again == first,
        "two_workers_equal": shared == first,
        "another_seed_equal": other == first,
    }
    print(json.dumps(result))
    (HERE / "repeat.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
