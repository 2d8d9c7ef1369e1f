"""`make demo`: the main job on the embedded default, one command after the other.

Each command finds its own finished work, so a second run reuses it and a broken one goes on where it stopped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUDGETS = {"p30": "30%", "p45": "45%", "p65": "65%", "p85": "85%"}
SEARCH = (
    *("-m", "search.run", "name=demo", "supernet=demo", "search.evaluations=72", "evaluation.images=100"),
    f"budgets.macs=[{','.join(BUDGETS.values())}]",
    f"budgets.names=[{','.join(BUDGETS)}]",
)
# Two processes of one thread each do more than one of two threads: most layers are too small to share.
TRAIN = (
    *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "supernet.train", "name=demo", "threads=1", "accelerator=cpu"),
)
STEPS = (
    ("Render the data and train one supernet", TRAIN),
    ("Search it for four budgets, shares of the largest subnet's MACs", SEARCH),
    *(
        (f"Export the subnet of budget {name}", ("-m", "subnets.export", f"arch=runs/search/demo:{name}"))
        for name in BUDGETS
    ),
    ("Evaluate on the test split and report", (str(HERE / "report.py"),)),
)


def main() -> int:
    """Run every step; the exit status of the first that fails, or 0."""
    begin = time.monotonic()
    for number, (title, arguments) in enumerate(STEPS, start=1):
        print(f"\n[{number}/{len(STEPS)}] {title}\n    python {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        threads = {"OMP_NUM_THREADS": "1"} if arguments is TRAIN else {}
        status = subprocess.run(
            [sys.executable, *arguments], env=os.environ | threads, check=False
        ).returncode
        if status:
            print(f"This step failed with status {status}; once mended, `make demo` goes on from here.")
            return status
        print(f"    ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"\nDone in {(time.monotonic() - begin) / 60:.1f} minutes: look at runs/demo/report.md.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
