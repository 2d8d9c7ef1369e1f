"""Ends the training command at random moments, starts it again each time, and compares with an unbroken run.

python -m experiments.training.resume.run [--moments 20] [--folder runs/experiments/resume]
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from supernet.runs.environment import environment
from supernet.runs.log import TIME_FIELDS, read_log
from supernet.runs.snapshot import read_snapshot

HERE = Path(__file__).resolve().parent

OVERRIDES = (
    "data.root=runs/experiments/resume/data",
    "data.render.train=200",
    "data.render.val=30",
    "data.render.test=10",
    "data.workers=1",
    "threads=1",
    "train.steps=240",
    "train.log_every=10",
    "train.checkpoint.every=7",
    "train.sampling.largest_first=60",
    "train.validation.every=80",
    "train.validation.images=20",
    "train.validation.calibration=32",
    "train.validation.subnets=1",
)


def command(name: str) -> list[str]:
    return [sys.executable, "-m", "supernet.train", f"name={name}", *OVERRIDES]


def outcome(name: str):
    folder = Path("runs/train") / name
    snapshot = read_snapshot(max((folder / "checkpoints").glob("step-*.safetensors")))
    lines = read_log(folder / "log.jsonl")
    meta = {key: value for key, value in snapshot.meta.items() if key != "config"}
    return snapshot.tensors, meta, [{k: v for k, v in x.items() if k not in TIME_FIELDS} for x in lines]


def broken_run(name: str, kind: signal.Signals, moments: int, longest: float, seed: int) -> list[int]:
    """Ends the run `moments` times, then lets it finish; the steps that each end left in a checkpoint."""
    generator = random.Random(seed)
    reached = []
    for number in range(moments + 1):
        process = subprocess.Popen(command(name), stderr=subprocess.PIPE, text=True)
        if number == moments:
            process.communicate()
            assert process.returncode == 0
            break
        # The clock starts when training does; one moment in five may fall into the start itself.
        if generator.random() < 0.8:
            while (line := process.stderr.readline()) and "steps in" not in line and "going on" not in line:
                pass
        time.sleep(generator.uniform(0, longest))
        process.send_signal(kind)
        process.communicate()
        steps = sorted((Path("runs/train") / name / "checkpoints").glob("step-*"))
        reached.append(int(steps[-1].name[5:14]) if steps else 0)
        print(
            f"{kind.name} {number + 1}/{moments}: exit {process.returncode}, last checkpoint {reached[-1]}",
            flush=True,
        )
    return reached


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--longest", type=float, default=6.0, help="seconds into the training, at most")
    given = parser.parse_args()
    if not Path("runs/train/resume-whole/checkpoints/step-000000240.safetensors").exists():
        subprocess.run(command("resume-whole"), check=True)
    whole = outcome("resume-whole")
    result = {"command": " ".join(["python", *command("NAME")[1:]]), "machine": environment(1), "runs": []}
    for kind, seed in ((signal.SIGKILL, 1), (signal.SIGTERM, 2)):
        name = f"resume-{kind.name.lower()}"
        reached = broken_run(name, kind, given.moments, given.longest, seed)
        tensors, meta, log = outcome(name)
        equal = [torch.equal(value, whole[0][key]) for key, value in tensors.items()]
        result["runs"].append(
            {
                "signal": kind.name,
                "ended": given.moments,
                "last checkpoint after each end": reached,
                "tensors": len(equal),
                "tensors bit-identical": sum(equal),
                "counters identical": meta == whole[1],
                "log lines": len(log),
                "log identical (time fields aside)": log == whole[2],
            }
        )
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result["runs"], indent=1))


if __name__ == "__main__":
    main()
