"""Train and score every network of the ablations with the real commands; what is finished answers in seconds.

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

from experiments.ablations.plan import CONF, DATA, Run, ablations, all_runs
from experiments.ablations.poses import POSES, write_poses
from supernet.cli import fail
from supernet.errors import InputError

LOCKS = Path("runs/ablations")


def commands(run: Run) -> list[list[str]]:
    """Training and evaluation of one run, for `python`; each refuses what was made with other settings."""
    train = ["subnets.finetune", f"experiment={run.recipe}", "hydra.mode=RUN", f"seed={run.seed}"]
    score = ["subnets.evaluate", f"data={DATA}", "split=val", "threads=1", f"name={run.name}"]
    return [
        ["-m", command[0], f"--config-dir={CONF}", *command[1:], f"arch={arch}", f"data.poses={POSES}"]
        for command, arch in ((train, run.arch), (score, run.network))
    ]


def claimed(run: Run, wait: bool = False) -> IO[str] | None:
    """The lock of a run, or None while another process works on it and `wait` is off."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = (LOCKS / f"{run.name}.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        lock.close()
        return None
    return lock


def execute(run: Run, wait: bool = False) -> bool | None:
    """Do what is left of a run.

    Returns:
        whether it is finished now; None where another process works on it (never with `wait`).
    """
    lock = claimed(run, wait)
    if lock is None:
        return None
    path = LOCKS / f"{run.name}.log"
    with lock, path.open("a") as log:
        if not run.is_finished:
            print(run.name, flush=True)
        for command in commands(run):
            # A command that outlives this process keeps the lock.
            done = subprocess.run(
                [sys.executable, *command],
                stdout=log,
                stderr=log,
                check=False,
                pass_fds=(lock.fileno(),),
            )
            if done.returncode:
                last = path.read_text().strip().rpartition("\n")[2]
                print(f"{run.name}: {last} (see {path})", file=sys.stderr, flush=True)
                return False
    return True


def execute_all(todo: list[Run], workers: int) -> bool:
    """All runs, `workers` at a time, those of other processes last; whether all are finished."""
    with ThreadPoolExecutor(workers) as pool:
        finished = dict(zip(todo, pool.map(execute, todo), strict=True))
    for run in todo:
        if finished[run] is None:
            print(f"{run.name}: waiting for the process that works on it", flush=True)
            finished[run] = execute(run, wait=True)
    return all(finished.values())


def main() -> None:
    known = ablations()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--poses", required=True, help="CrowdPose or COCO annotation file of real crowds")
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), help="some of the ablations")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time, one thread each")
    given = parser.parse_args()
    if given.workers < 1:
        parser.error("--workers: one or more")
    try:
        write_poses(given.poses)
    except InputError as error:
        fail(error)
    sys.exit(0 if execute_all(all_runs(known[name] for name in given.only), given.workers) else 1)


if __name__ == "__main__":
    main()
