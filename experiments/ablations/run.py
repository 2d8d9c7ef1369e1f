"""Train and score every network of the ablations with the real commands; skips what is finished.

    python -m experiments.ablations.run --poses crowdpose_val.json [--only kernel fusion] [--workers 2]

Started again it goes on; started twice, both share the work. `python -m experiments.ablations.report` shows
what is finished.
"""

from __future__ import annotations

import argparse
import fcntl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from experiments.ablations.plan import RECIPE
from experiments.ablations.plan import RESULT
from experiments.ablations.plan import Run
from experiments.ablations.plan import ablations
from experiments.ablations.plan import data_settings
from experiments.ablations.plan import runs
from experiments.ablations.poses import POSES
from experiments.ablations.poses import write_poses

LOCKS = Path("runs/ablations")


def commands(run: Run) -> list[list[str]]:
    """Training and evaluation of one run."""
    train = ["subnets.finetune", f"experiment={RECIPE}", f"arch={run.arch}", f"seed={run.seed}"]
    score = ["subnets.evaluate", f"arch={run.network}", "split=val", "threads=1", *data_settings()]
    return [["-m", *command, f"name={run.name}", f"data.poses={POSES}"] for command in (train, score)]


def claimed(run: Run) -> IO[str] | None:
    """The lock of a run, or None while another process works on it."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = (LOCKS / f"{run.name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def execute(run: Run) -> bool:
    """Do what is left of a run; whether it is finished now or is another process's."""
    lock = claimed(run)
    if lock is None:
        return True
    with lock, (LOCKS / f"{run.name}.log").open("a") as log:
        for result, command in zip((run.network, run.scores / RESULT), commands(run), strict=True):
            if result.exists():
                continue
            print(f"{run.name}: {command[1]}", flush=True)
            if subprocess.run([sys.executable, *command], stdout=log, stderr=log, check=False).returncode:
                print(f"{run.name}: failed, see {log.name}", file=sys.stderr, flush=True)
                return False
    return True


def main() -> None:
    known = ablations()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--poses", required=True, help="CrowdPose or COCO annotation file of real crowds")
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), help="some of the ablations")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, one thread each")
    given = parser.parse_args()
    todo = runs([known[name] for name in given.only])
    write_poses(given.poses)
    with ThreadPoolExecutor(given.workers) as pool:
        finished = list(pool.map(execute, todo))
    sys.exit(0 if all(finished) else 1)


if __name__ == "__main__":
    main()
