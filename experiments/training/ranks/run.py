"""Two gloo ranks: bit-equal after 100 steps, gradients as of one process with two halves, one rank killed.

python -m experiments.training.ranks.run
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import torch

from supernet import SearchSpace
from supernet.data.source import DataConfig
from supernet.data.synthetic.options import SyntheticOptions
from supernet.runs.environment import environment
from supernet.training.distributed import open_ranks
from supernet.training.job import TrainingJob, train_supernet
from supernet.training.options import CheckpointOptions, OptimizerOptions, TrainOptions, ValidationOptions
from supernet.training.trainer import Trainer

HERE = Path(__file__).resolve().parent

FOLDER = Path("runs/experiments/ranks")
STEPS = 100
KILL_AT = 60


def worker(folder: Path, kill: bool, accumulate: int) -> None:
    """One rank's training; keeps the gradient of the first step and the last weights."""
    torch.set_num_threads(1)
    options = TrainOptions(
        steps=STEPS,
        batch_size=8,
        accumulate=accumulate,
        log_every=20,
        optimizer=OptimizerOptions(lr=3e-3, warmup=10, clip=0, ema=0.99),
        checkpoint=CheckpointOptions(every=25),
        validation=ValidationOptions(every=0),
    )
    original = Trainer._train_step

    def watched(self, batch, stop):
        marker = folder / "killed"
        if kill and self.state.step == KILL_AT and self._ranks.rank == 1 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        first = self.state.step == 0
        stopped = original(self, batch, stop)
        if first:
            torch.save(self.state.gradient.gradient.clone(), folder / f"gradient-{self._ranks.rank}.pt")
        final[:] = [p.detach().clone() for p in self.state.net.parameters()]
        return stopped

    final: list[torch.Tensor] = []
    Trainer._train_step = watched
    render = SyntheticOptions(train=100, val=10, test=10, size=160)
    data = DataConfig(root=str(FOLDER / "data"), layout="synthetic", render=render, workers=0)
    with open_ranks("cpu") as ranks:
        train_supernet(TrainingJob(folder, data, options, 0, ranks), SearchSpace.load("tiny"))
        torch.save(final, folder / f"final-{ranks.rank}.pt")


def start(name: str, ranks: int, *flags: str, restarts: int = 0) -> Path:
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    launcher = [*torchrun, f"--max-restarts={restarts}"] if ranks > 1 else []
    subprocess.run([sys.executable, *launcher, __file__, "worker", str(folder), *flags], check=True)
    return folder


def load(folder: Path, what: str):
    return torch.load(folder / f"{what}.pt", weights_only=True)


def main() -> None:
    if sys.argv[1:2] == ["worker"]:
        worker(Path(sys.argv[2]), "kill" in sys.argv, 2 if "halves" in sys.argv else 1)
        return
    two, one = start("two", 2), start("one", 1, "halves")
    killed = start("killed", 2, "kill", restarts=1)
    finals = [load(two, "final-0"), load(two, "final-1")]
    difference = (load(two, "gradient-0") - load(one, "gradient-0")).abs().max()
    result = {
        "command": "python -m experiments.training.ranks.run",
        "machine": environment(1),
        "steps": STEPS,
        "tensors": len(finals[0]),
        "tensors bit-equal on both ranks": sum(torch.equal(a, b) for a, b in zip(*finals, strict=True)),
        "largest gradient difference from one process with two half-batches": float(difference),
        "largest gradient": float(load(one, "gradient-0").abs().max()),
        "rank 1 killed at step": KILL_AT,
        "killed run finished": (killed / "final-0.pt").exists() and (killed / "killed").exists(),
        "killed run's weights bit-equal to the unbroken one's": all(
            torch.equal(a, b) for a, b in zip(load(killed, "final-0"), finals[0], strict=True)
        ),
    }
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
