"""`make demo`: the main job on the embedded default, one command after the other.

Each command finds its own finished work, so a second run reuses it and a broken one goes on where it stopped.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUDGETS = ("0.30", "0.45", "0.65", "0.85")
STEPS = (
    ("Train one supernet", ("-m", "supernet.train", "experiment=demo")),
    ("Search it for four budgets", ("-m", "search.run", "experiment=demo")),
    ("Export the four subnets", ("-m", "subnets.export", "experiment=demo")),
    ("Evaluate them on the test split", (str(HERE / "report.py"),)),
)


def main() -> int:
    """Run every step; the exit status of the first that fails, or 0."""
    begin = time.monotonic()
    for number, (title, arguments) in enumerate(STEPS, start=1):
        print(f"\n[{number}/{len(STEPS)}] {title}: python {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        status = subprocess.run([sys.executable, *arguments], check=False).returncode
        if status:
            print(f"The step failed with status {status}; `make demo` goes on from here once it is mended.")
            return status
        print(f"    {time.monotonic() - start:.0f} s", flush=True)
    print(f"\nDone in {(time.monotonic() - begin) / 60:.1f} minutes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
