# ruff: noqa: E402, E501
"""Starts of the data loader from forked processes, with OpenCV used before, after and in threads.

    python experiments/faults/forks.py --starts 200 [--plain 20] [--load 4] [--seed 0] [--output DIR]

Each start forks, opens the rendered data set with data.cache=memory and two loader workers, takes three batches and
ends. All are of one parent, which touches OpenCV only when the ways that leave it alone are done. A `plain` start is
`supernet.train` itself with two workers, one step, without the start of the interpreter. A start that takes more than
60 s hangs; `--load` busy processes compete for the cores meanwhile; the machine's load is told.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import cv2
import harness
import numpy as np
import yaml
from world import SPACE, TRAIN

LIMIT = 60.0
# The last three use OpenCV in the parent of all starts.
WAYS = ("untouched", "after", "before", "in threads", "in a thread that goes on")
STEPS = 3
PLAIN = (
    "name=p", *(one for one in TRAIN if "workers" not in one), "data.workers=2", "data.cache=memory", "train.steps=1"
)  # fmt: skip


def render(folder: Path) -> None:
    """A small data set at `folder`/data, by the command."""
    settings = ("train=24", "val=12", "test=4", "size=96", "workers=1")
    command = [sys.executable, "-m", "supernet.audit", "name=a", "data=synthetic", "data.root=data"]
    command += [f"data.render.{setting}" for setting in settings]
    subprocess.run(
        command,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def touch() -> None:
    """Something that OpenCV does in several threads of its own."""
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    cv2.resize(cv2.GaussianBlur(image, (9, 9), 2), (320, 240))
    cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR)


def many_touches(stop: threading.Event) -> None:
    while not stop.is_set():
        touch()


def take_batches(root: Path, way: str, wait: float) -> None:
    """What a training does first, in this process."""
    from supernet.data import DataOptions, Loader, LoaderOptions, open_dataset

    if way == "after":
        touch()
    options = DataOptions(root=str(root), cache="memory")
    dataset = open_dataset(options, "train")
    open_dataset(options, "val")
    time.sleep(wait)
    with Loader(dataset, LoaderOptions(batch_size=4), [64], workers=2) as loader:
        assert len(list(loader.batches(0, STEPS))) == STEPS


def start(root: Path, way: str, draw: random.Random) -> str:
    """One start by fork: "well", "hung" or "failed"."""
    wait, stop, threads = draw.uniform(0, 0.004), threading.Event(), []
    if way == "before":
        touch()
    if way.startswith("in "):
        count = 4 if way == "in threads" else 1
        threads = [threading.Thread(target=many_touches, args=(stop,)) for _ in range(count)]
        for thread in threads:
            thread.start()
        time.sleep(draw.uniform(0, 0.02))
        if way == "in threads":
            # Threads that are just ending.
            stop.set()
    child = os.fork()
    if not child:
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            take_batches(root, way, wait)
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    stop.set()
    for thread in threads:
        thread.join()
    return ended(child)


def ended(child: int) -> str:
    begin = time.monotonic()
    while time.monotonic() - begin < LIMIT:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return "well" if os.waitstatus_to_exitcode(status) == 0 else "failed"
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hung"


def plain(folder: Path, settings: object) -> str:
    """One training as a command starts it."""
    shutil.rmtree(folder / "runs", ignore_errors=True)
    return ended(harness.start("supernet.train", PLAIN, folder, settings))


def tell(number: int, found: dict[str, Counter[str]], loads: list[float]) -> None:
    """How far it is, now and then."""
    if number % 100 == 99:
        loads.append(os.getloadavg()[0])
        print({way: dict(row) for way, row in found.items()}, f"load {loads[-1]:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--plain", type=int, default=0)
    parser.add_argument("--load", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    # Imported before, as in a launcher or a notebook; the children find it there.
    from supernet.data import Loader, open_dataset  # noqa: F401

    busy = [
        subprocess.Popen([sys.executable, "-c", "import os\np = os.getppid()\nwhile os.getppid() == p: pass"])
        for _ in range(chosen.load)
    ]
    found: dict[str, Counter[str]] = {way: Counter() for way in ("plain", *WAYS)}
    try:
        with tempfile.TemporaryDirectory(prefix="forks-") as scratch:
            folder = Path(scratch)
            render(folder)
            (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
            settings = harness.compose("supernet.train", PLAIN)
            loads = [os.getloadavg()[0]]
            for number in range(chosen.plain):
                found["plain"][plain(folder, settings)] += 1
                tell(number, found, loads)
            # So that OpenCV is first used in this process when nobody wants it untouched any more.
            for number in range(chosen.starts):
                way = WAYS[number * len(WAYS) // chosen.starts]
                found[way][start(folder / "data", way, draw)] += 1
                tell(number, found, loads)
    finally:
        for process in busy:
            process.kill()
    print(f"load {min(loads):.1f} to {max(loads):.1f}")
    print("| OpenCV used | starts | well | hung | failed |\n|---|---|---|---|---|")
    for way, row in found.items():
        print(f"| {way} | {row.total()} | {row['well']} | {row['hung']} | {row['failed']} |")
    if chosen.output:
        chosen.output.mkdir(parents=True, exist_ok=True)
        result = {"schema": 1, **{key: getattr(chosen, key) for key in ("starts", "plain", "load", "seed")}}
        text = json.dumps({**result, "loads": [min(loads), max(loads)], "outcomes": found}, indent=1)
        (chosen.output / "forks.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
