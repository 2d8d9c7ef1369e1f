"""`make demo`: the main job on the embedded default, one command after the other.

Each command finds its own finished work, so a second run reuses it and a broken one goes on where it stopped.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUDGETS = {"p30": "30%", "p45": "45%", "p65": "65%", "p85": "85%"}
TRAIN = (
    *("-m", "supernet.train", "name=demo", "threads=1", "accelerator=cpu"),
    # 96 pixels are drawn twice as often: there, small subnets need more training than at 64.
    "train.sampling.resolutions=[64,96,96]",
)
# Two processes of one thread each do more than one of two threads: most layers are too small to share.
RANKS = 2
SEARCH = (
    *("-m", "search.run", "name=demo", "supernet=demo", "search.evaluations=96", "evaluation.images=100"),
    "search.baseline=0",  # the report draws its own, beside what was chosen
    f"budgets.macs=[{','.join(BUDGETS.values())}]",
    f"budgets.names=[{','.join(BUDGETS)}]",
)
BEST = list(BUDGETS)[-1]
# Of npm, which nobody has to have: without it the demo is the same but for this page.
WEB = (
    *("-m", "subnets.export", f"arch=runs/search/demo:{BEST}", "format=web", "name=demo-web"),
    *("export.bundle=false", "export.latency_rounds=0"),
)
PAGE = "runs/export/demo-web/web"
PACKAGE = Path("node_modules/onnxruntime-web")
STEPS = (
    ("Render the data and train one supernet", TRAIN),
    ("Search it for four budgets, shares of the largest subnet's MACs", SEARCH),
    *(
        (f"Export the subnet of budget {name}", ("-m", "subnets.export", f"arch=runs/search/demo:{name}"))
        for name in BUDGETS
    ),
    *([(f"A page for browsers with the subnet of {BEST}", WEB)] if PACKAGE.is_dir() else []),
    ("Evaluate on the test split and report", (str(HERE / "report.py"),)),
)


def run_ranks(command: list[str]) -> int:
    """Run `command` as every rank of one group, as torchrun does; the first status that is not 0 ends all.

    Bad input shall end in its own line and status, which torchrun buries under a traceback of its own.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    group = {"WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = []
    for rank in range(RANKS):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
        # All would say the same.
        said = None if rank == 0 else subprocess.DEVNULL
        ranks.append(subprocess.Popen(command, env=os.environ | group | own, stderr=said))
    try:
        while None in (statuses := [rank.poll() for rank in ranks]) and not any(statuses):
            time.sleep(0.2)
        if any(statuses):
            time.sleep(1)  # the others, the first among them, may be about to say why
        return next(filter(None, statuses), 0)
    except KeyboardInterrupt:
        # The ranks were interrupted too; a second signal would not let them save.
        for rank in ranks:
            rank.wait()
        raise
    finally:
        for rank in ranks:
            rank.terminate()
        for rank in ranks:
            rank.wait()


def main() -> int:
    """Run every step; the exit status of the first that fails, or 0."""
    begin = time.monotonic()
    for number, (title, arguments) in enumerate(STEPS, start=1):
        command = [sys.executable, *arguments]
        ranks = f"    (as {RANKS} ranks)" if arguments is TRAIN else ""
        print(f"\n[{number}/{len(STEPS)}] {title}\n    python {' '.join(arguments)}{ranks}", flush=True)
        start = time.monotonic()
        status = run_ranks(command) if ranks else subprocess.run(command, check=False).returncode
        if status:
            print(f"This step failed with status {status}; once mended, `make demo` goes on from here.")
            return status
        print(f"    ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"\nDone in {(time.monotonic() - begin) / 60:.1f} minutes: look at runs/demo/report.md.")
    if PACKAGE.is_dir():
        print(f"In a browser: python -m http.server --directory {PAGE}, then http://localhost:8000")
    else:
        print(
            "In a browser: `npm install --no-save onnxruntime-web`, then `make demo` adds a page to the rest"
        )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped; `make demo` goes on from here", file=sys.stderr)
        sys.exit(130)
