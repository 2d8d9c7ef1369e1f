"""Runs one training on every rank that torchrun starts and keeps what each of them ends with.

Arguments: folder, and a JSON with `space`, `data` (root), `steps` and `kill_at` (rank 1 dies there, once).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from supernet import SearchSpace
from supernet.data.source import DataConfig
from supernet.training.distributed import open_ranks
from supernet.training.job import TrainingJob, train_supernet
from supernet.training.options import (
    CheckpointOptions,
    OptimizerOptions,
    SamplingOptions,
    TrainOptions,
    ValidationOptions,
)
from supernet.training.trainer import Trainer


def main() -> None:
    folder, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    options = TrainOptions(
        steps=settings["steps"],
        batch_size=4,
        log_every=5,
        sampling=SamplingOptions(random=1),
        # Without clipping the gradient stays as it was reduced.
        optimizer=OptimizerOptions(lr=1e-2, warmup=2, clip=0, ema=0.9),
        checkpoint=CheckpointOptions(every=4),
        validation=ValidationOptions(every=100, images=5, subnets=0, pictures=0, calibration=2),
    )
    original = Trainer._train_step

    def watched(self, batch, stop):
        marker = folder / "killed"
        kill = settings.get("kill_at") == self.state.step and self._ranks.rank == 1
        if kill and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        first = self.state.step == 0
        stopped = original(self, batch, stop)
        if first:
            torch.save(self.state.gradient.gradient.clone(), folder / f"gradient-{self._ranks.rank}.pt")
        final[:] = [p.detach().clone() for p in self.state.net.parameters()]
        return stopped

    final: list[torch.Tensor] = []
    Trainer._train_step = watched  # type: ignore[method-assign]
    space = SearchSpace.load(settings["space"])
    data = DataConfig(root=settings["data"], workers=0)
    with open_ranks("cpu") as ranks:
        folder.mkdir(exist_ok=True, parents=True)
        train_supernet(TrainingJob(folder, data, options, seed=0, ranks=ranks), space)
        torch.save(final, folder / f"final-{ranks.rank}.pt")


if __name__ == "__main__":
    main()
