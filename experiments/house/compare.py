"""Two checkouts of this project side by side: is the newer one as fast as the older one?

    python experiments/house/compare.py --before OLD --after NEW [--rounds 5] [--work NAME ...]

OLD and NEW are folders of two checkouts that run in the same environment. Each round runs both, the first one
in turns, every piece of work in a process of its own on one thread (`make demo`: two). Only public names and
commands are used, so that the same work runs in both. Writes result.json beside this file; what is not
measured now stays there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
Times = dict[str, list[float]]  # by checkout

DECODE = """
import time, numpy as np
from supernet.pose import decode
rng = np.random.default_rng(0)
y, x = np.mgrid[:128, :128]
heat, tags = np.zeros((1, 14, 128, 128), np.float32), np.zeros((1, 14, 128, 128, 1), np.float32)
for person in range(6):
    for joint in range(14):
        at = rng.uniform(8, 120, 2)
        blob = np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 8)
        heat[0, joint] = np.maximum(heat[0, joint], blob)
        tags[0, joint, ..., 0][blob > 0.01] = person
decode(heat, tags, skeleton="crowdpose")
start = time.perf_counter()
for _ in range(60):
    decode(heat, tags, skeleton="crowdpose")
print((time.perf_counter() - start) / 60)
"""
TABLE = """
import time, numpy as np
from supernet import SearchSpace
from search import MacsTable
space = SearchSpace.load("litepose")
table, codes = MacsTable(space, num_joints=14), space.sample_codes(np.random.default_rng(0), 200_000)
table.predict(codes[:1000])
start = time.perf_counter()
for _ in range(5):
    table.predict(codes)
print((time.perf_counter() - start) / 5)
"""
TRAIN = [
    *("-m", "supernet.train", "space=demo", "train=demo", "accelerator=cpu", "threads=1", "data.workers=0"),
    *("train.steps=36", "train.log_every=36", "train.validation.every=0", "train.checkpoint.every=1000"),
]


class Checkout:
    """One of the two, with a folder for what its commands write.

    Args:
        root: the checkout.
        python: the interpreter.
        scratch: where its runs and the rendered data lie; both render the same.
    """

    def __init__(self, root: Path, python: str, scratch: Path) -> None:
        self.root, self._python, self._scratch = root, python, scratch
        scratch.mkdir()

    def run(self, *command: str, within: str = ".") -> str:
        """The standard output of one process, in that folder of the scratch; it must succeed."""
        environment = os.environ | {"PYTHONPATH": str(self.root), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [self._python, *command],
            cwd=self._scratch / within,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.exit(f"{' '.join(command[:3])} in {self.root}: {done.stderr[-2000:]}")
        return done.stdout

    def training(self, number: int) -> float:
        """Seconds a step of `train=demo`, as its log has them."""
        self.run(*TRAIN, f"name=speed{number}")
        lines = (self._scratch / "runs" / "train" / f"speed{number}" / "log.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines]
        (entry,) = [line for line in found if "images_per_second" in line]
        return float(entry["seconds"]) / 36

    def front(self, number: int) -> float:
        """Seconds of evolving the whole front, with the model that takes longest."""
        lines = self.run(str(self.root / "experiments" / "search" / "front_time.py")).splitlines()
        return max(json.loads(line.partition(" ")[2])["seconds"] for line in lines)

    def helps(self, number: int) -> float:
        """Seconds of the slowest `--help`."""
        scripts = tomllib.loads((self.root / "pyproject.toml").read_text())["project"]["scripts"]
        taken = []
        for target in scripts.values():
            start = time.perf_counter()
            self.run("-m", target.partition(":")[0], "--help")
            taken.append(time.perf_counter() - start)
        return max(taken)

    def demo(self, number: int) -> float:
        """Seconds of `make demo` after the installation."""
        folder = self._scratch / f"demo{number}"
        folder.mkdir()
        start = time.perf_counter()
        print(self.run(str(self.root / "experiments" / "demo" / "run.py"), within=folder.name))
        print((folder / "runs" / "demo" / "report.md").read_text())
        return time.perf_counter() - start


WORK: dict[str, Callable[[Checkout, int], float]] = {
    "training step": Checkout.training,
    "decoding": lambda checkout, _: float(checkout.run("-c", DECODE)),
    "MacsTable, 200,000": lambda checkout, _: float(checkout.run("-c", TABLE)),
    "evolution of the whole front": Checkout.front,
    "slowest --help": Checkout.helps,
    "make demo": Checkout.demo,
}


def main() -> None:
    """Measure in rounds, write result.json and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        both = {
            name: Checkout(getattr(given, name).resolve(), given.python, Path(scratch) / name)
            for name in ("before", "after")
        }
        if "training step" in given.work:
            for checkout in both.values():
                checkout.training(0)  # renders the data and compiles the kernels
        seconds: dict[str, dict[str, list[float]]] = {
            what: {name: [] for name in both} for what in given.work
        }
        for number in range(1, given.rounds + 1):
            names = list(both) if number % 2 else list(both)[::-1]
            for what in given.work:
                for name in names:
                    seconds[what][name].append(WORK[what](both[name], number))
            print(f"round {number} of {given.rounds}", file=sys.stderr)
    earlier = json.loads((HERE / "result.json").read_text()) if (HERE / "result.json").exists() else {}
    rows = earlier.get("median seconds", {}) | {
        what: {
            **{name: round(statistics.median(values), 4) for name, values in found.items()},
            "after / before": round(
                statistics.median(a / b for a, b in zip(found["after"], found["before"], strict=True)), 3
            ),
            "rounds": given.rounds,
        }
        for what, found in seconds.items()
    }
    versions = {"python": platform.python_version(), **{name: version(name) for name in ("torch", "numpy")}}
    result = {"schema": 1, "threads": 1, "versions": versions, "median seconds": rows}
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print("| work | before, s | after, s | after / before |\n|---|---|---|---|")
    for what, row in rows.items():
        print(f"| {what} | {row['before']} | {row['after']} | {row['after / before']} |")


if __name__ == "__main__":
    main()
