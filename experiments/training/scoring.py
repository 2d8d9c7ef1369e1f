"""Scores of subnets straight out of a trained supernet, for the experiments."""

from __future__ import annotations

from supernet import Arch
from supernet.data.source import DataConfig, data_from, open_split
from supernet.evaluation import Evaluator, SupernetEvaluator
from supernet.options import EvaluationOptions
from supernet.training.checkpoint import TrainedSupernet

# Training images for batch-norm calibration.
CALIBRATION = 128


def data_config(trained: TrainedSupernet) -> DataConfig:
    """The data that a supernet was trained on."""
    return data_from(trained.config["data"])


def evaluator(
    trained: TrainedSupernet, split: str, calibration: int = CALIBRATION, matching: str | None = None
) -> SupernetEvaluator:
    """Scores subnets of `trained` on all of a split; `matching` groups people, None by the network's rule."""
    config = data_config(trained)
    options = EvaluationOptions(calibration_images=calibration, matching=matching)
    scored = Evaluator(open_split(config, split), options)
    return SupernetEvaluator(trained.net, open_split(config, "train"), scored)


def between(archs: list[Arch], macs: list[int], low: float, high: float, count: int) -> list[Arch]:
    """`count` of `archs`, their MACs evenly spaced between the shares `low` and `high` of the most."""
    most = max(macs)
    chosen: list[Arch] = []
    for place in range(count):
        wanted = most * (low + (high - low) * (place + 0.5) / count)
        free = [index for index, arch in enumerate(archs) if arch not in chosen]
        chosen.append(archs[min(free, key=lambda index: abs(macs[index] - wanted))])
    return chosen
