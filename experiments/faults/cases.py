# ruff: noqa: E402
"""Every folder of small damaged files with the command that reads it, and what becomes of it.

    python experiments/faults/cases.py FOLDER [--case journal-no-op]

FOLDER is `cases/faults` of the data folder beside the checkout. A journal is tried three times: as it is
(an older form), with the same damage in a journal of today (search.repair=true has to lead to the undamaged
result), and with checksums that fit, as nobody's disk makes it. Writes a table.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import case_files  # noqa: F401 - registers its cases
import case_machine  # noqa: F401 - registers its cases
import harness
from case import CASES, Case
from run import undamaged


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--case", action="append", default=[])
    chosen = parser.parse_args()
    names = chosen.case or sorted(path.name for path in chosen.folder.iterdir() if path.is_dir())
    print("| folder | done | verdict | found | said |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="cases-") as scratch:
        world = undamaged(Path(scratch))
        harness.import_learned(world / "modules.txt")
        for name in names:
            here = Path(scratch) / "case"
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            if name not in CASES:
                print(f"| {name} | | not known | | |")
                continue
            for what, done, more in CASES[name](Case(chosen.folder / name, here, world)):
                line = done.line().replace("|", "/") if done.code else ""
                print(f"| {name} | {what} | {done.verdict()} | {more} | {line[:160]} |", flush=True)


if __name__ == "__main__":
    main()
