"""Scoring the supernet during training: smallest, largest and a few fixed subnets."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.dataset import PoseDataset
from ..data.plan import evenly
from ..evaluation import Evaluator, SupernetEvaluator, readable, scores_by_source
from ..family import Architecture
from ..network import Supernet
from ..options import EvaluationOptions
from ..pose.protocols import main_metric, score
from ..runs.log import RunLog
from ..sampling import fixed_subnets
from ..space import SearchSpace
from .distributed import Ranks
from .options import ValidationOptions
from .pictures import draw_predictions
from .trainer import Scores

if TYPE_CHECKING:
    from .job import TrainingJob

Detections = list[dict[str, Any]]


class SharedScoring:
    """Scoring on a fixed part of a validation split; the ranks share the images.

    Args:
        val_set: what to score on.
        options: how many images and so on.
        ranks: the processes that share the work; all of them must call.

    Attributes:
        dataset: all the images that are scored.
        evaluator: of this rank's share; None if it has none.
    """

    def __init__(self, val_set: PoseDataset, options: ValidationOptions, ranks: Ranks) -> None:
        # Once for all ranks' shares, the ground truth and the pictures.
        self.dataset = readable(spread(val_set, options.images))
        self.dataset.require_people()
        self._ranks = ranks
        share = self.dataset.subset(range(ranks.rank, len(self.dataset), ranks.world))
        protocol = EvaluationOptions(batch_size=options.batch_size, calibration_images=options.calibration)
        self.evaluator = Evaluator(share, protocol) if len(share) else None

    def gather(self, detections: Detections) -> tuple[Detections, dict[str, float]]:
        """Everybody's detections, and on every rank the metrics that they score together.

        The main metric on the images of each source alone is there too, as `AP/<source>`, if there are some.
        """
        everything = [one for part in self._ranks.gather(detections) for one in part]
        stats: dict[str, float] = {}
        if self._ranks.is_main:
            truth, layout = self.dataset.ground_truth(), self.dataset.skeleton
            stats = score(truth, everything, self.dataset.protocol, skeleton=layout)
            metric = main_metric(stats)[0]
            sources = scores_by_source(self.dataset, everything)
            stats |= {f"{metric}/{source}": found[metric] for source, found in sources.items()}
        return everything, self._ranks.share(stats)


class SupernetValidator:
    """Scores smallest, largest and a few random subnets of a supernet.

    Args:
        space: where the subnets come from.
        train_set: for batch-norm calibration.
        val_set: what to score on.
        options: how many subnets, images and pictures.
        job: its seed and ranks.
        pictures: the folder of the pictures.
    """

    def __init__(
        self,
        space: SearchSpace,
        train_set: PoseDataset,
        val_set: PoseDataset,
        options: ValidationOptions,
        job: TrainingJob,
        pictures: Path,
    ) -> None:
        self._archs = validation_archs(space, options.subnets, job.seed)
        self._train_set = train_set
        self._scoring = SharedScoring(val_set, options, job.ranks)
        self._count = options.pictures
        self._pictures = pictures
        self._evaluator: SupernetEvaluator | None = None

    def __call__(self, net: Supernet, step: int, log: RunLog | None) -> Scores:
        """AP and AR of every subnet, by `AP/<name>` and `AR/<name>`; `net` is left as it is."""
        evaluate = self._evaluator_of(net)
        metrics: dict[str, float] = {}
        for name, arch in self._archs.items():
            found = evaluate(arch).detections if evaluate is not None else []
            detections, stats = self._scoring.gather(found)
            metrics |= {f"{key}/{name}": value for key, value in followed(stats).items()}
            if log is not None and self._count:
                dataset = self._scoring.dataset
                draw_predictions(self._pictures, log, self._count, name, step, dataset, detections)
        return Scores(metrics, best_scores(metrics, main_metric(stats)[0]))

    def _evaluator_of(self, net: Supernet) -> SupernetEvaluator | None:
        """An evaluator with a copy of `net`'s weights, as scoring changes modes, statistics and formats."""
        if self._scoring.evaluator is None:
            return None
        if self._evaluator is None:
            copied = copy.deepcopy(net)
            self._evaluator = SupernetEvaluator(copied, self._train_set, self._scoring.evaluator)
        for mine, theirs in zip(self._evaluator.net.parameters(), net.parameters(), strict=True):
            mine.data.copy_(theirs.data)
        return self._evaluator


def validation_archs(space: SearchSpace, count: int, seed: int) -> dict[str, Architecture]:
    """The subnets that a run's validation follows: smallest, largest and `count` random ones from `seed`."""
    fixed = {f"random-{i}": arch for i, arch in enumerate(fixed_subnets(space, count, seed), start=1)}
    return {"smallest": space.smallest(), "largest": space.largest(), **fixed}


def followed(stats: Mapping[str, float]) -> dict[str, float]:
    """What a log keeps of a score: the main metric (AP), also by source, and, where there is one, AR."""
    main = main_metric(stats)[0]
    return {
        name: round(value, 5)
        for name, value in stats.items()
        if name in (main, "AR") or name.startswith(f"{main}/")
    }


def best_scores(metrics: Mapping[str, float], metric: str = "AP") -> dict[str, float]:
    """What the best checkpoints are chosen by: `metric` of the smallest, of the largest, and their mean."""
    if not {f"{metric}/smallest", f"{metric}/largest"} <= set(metrics):
        return {}
    smallest, largest = metrics[f"{metric}/smallest"], metrics[f"{metric}/largest"]
    return {"best": (smallest + largest) / 2, "best-smallest": smallest, "best-largest": largest}


def spread(dataset: PoseDataset, count: int) -> PoseDataset:
    """`count` images evenly spread over `dataset`; all of them for 0."""
    if not 0 < count < len(dataset):
        return dataset
    return dataset.subset(evenly(len(dataset), count))
