"""Scoring the supernet during training: smallest, largest and a few fixed subnets."""

from __future__ import annotations

import copy
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .arch import Arch
from .data.dataset import PoseDataset
from .distributed import Ranks
from .evaluation import Evaluator
from .evaluation import SupernetEvaluator
from .evaluation_options import EvaluationOptions
from .network import Supernet
from .pose.scoring import score
from .sampling import fixed_subnets
from .space import SearchSpace
from .train_options import ValidationOptions
from .training import Scores


class Validator:
    """Scores a supernet on a fixed part of the validation split; the ranks share the images.

    Args:
        archs: the subnets to follow, by name.
        train_set: for batch-norm calibration.
        val_set: what to score on.
        options: how many images and so on.
        ranks: the processes that share the work; all of them must call.
        draw: `draw(subnet name, step, dataset, detections)` makes pictures, on the first rank.
    """

    def __init__(
        self,
        archs: Mapping[str, Arch],
        train_set: PoseDataset,
        val_set: PoseDataset,
        options: ValidationOptions,
        ranks: Ranks,
        draw: Callable[[str, int, PoseDataset, list[dict[str, Any]]], Path | None] | None = None,
    ) -> None:
        self._archs = dict(archs)
        self._train_set = train_set
        self._whole = spread(val_set, options.images)
        self._ranks = ranks
        self._draw = draw
        share = self._whole.subset(range(ranks.rank, len(self._whole), ranks.world))
        protocol = EvaluationOptions(batch_size=options.batch_size, calibration_images=options.calibration)
        self._share = Evaluator(share, protocol) if len(share) else None
        self._evaluator: SupernetEvaluator | None = None

    def __call__(self, net: Supernet, step: int) -> Scores:
        """AP and AR of every subnet, by `AP/<name>` and `AR/<name>`; `net` is left as it is."""
        evaluate = self._evaluator_of(net)
        figures: dict[str, float] = {}
        for name, arch in self._archs.items():
            found = evaluate(arch).detections if evaluate is not None else []
            detections = [one for part in self._ranks.gather(found) for one in part]
            if self._ranks.is_main:
                stats = score(self._whole.ground_truth(), detections, dataset=self._whole.skeleton.name)
                figures |= {f"{figure}/{name}": round(stats[figure], 5) for figure in ("AP", "AR")}
                if self._draw is not None:
                    self._draw(name, step, self._whole, detections)
        figures = self._ranks.share(figures)
        return Scores(figures, best_scores(figures))

    def _evaluator_of(self, net: Supernet) -> SupernetEvaluator | None:
        """An evaluator with a copy of `net`'s weights, as scoring changes modes, statistics and formats."""
        if self._share is None:
            return None
        if self._evaluator is None:
            self._evaluator = SupernetEvaluator(copy.deepcopy(net), self._train_set, self._share)
        for mine, theirs in zip(self._evaluator.net.parameters(), net.parameters(), strict=True):
            mine.data.copy_(theirs.data)
        return self._evaluator


def validation_archs(space: SearchSpace, count: int, seed: int) -> dict[str, Arch]:
    """The subnets that a run's validation follows: smallest, largest and `count` random ones from `seed`."""
    fixed = {f"random-{i}": arch for i, arch in enumerate(fixed_subnets(space, count, seed), start=1)}
    return {"smallest": space.smallest(), "largest": space.largest(), **fixed}


def best_scores(figures: Mapping[str, float]) -> dict[str, float]:
    """What the best checkpoints are chosen by: AP of the smallest, of the largest, and their mean."""
    if not {"AP/smallest", "AP/largest"} <= set(figures):
        return {}
    smallest, largest = figures["AP/smallest"], figures["AP/largest"]
    return {"best": (smallest + largest) / 2, "best-smallest": smallest, "best-largest": largest}


def spread(dataset: PoseDataset, count: int) -> PoseDataset:
    """`count` images evenly spread over `dataset`; all of them for 0."""
    if not 0 < count < len(dataset):
        return dataset
    return dataset.subset(np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist())
