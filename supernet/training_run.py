"""Training a supernet, from its settings to the last checkpoint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .channel_warmup import sort_when_due
from .checkpoint import supernet_about
from .data.dataset import PoseDataset
from .forward import make_forward
from .network import Supernet
from .run_log import RunLog
from .sampling import SubnetSchedule
from .space import SearchSpace
from .training_job import TrainingJob
from .training_state import TrainingState

if TYPE_CHECKING:
    from .validation import SupernetValidator


def train_supernet(job: TrainingJob, space: SearchSpace) -> int:
    """Train a supernet, or go on with the training in the job's folder; every rank calls this.

    Returns:
        the number of the signal that stopped it after saving, or 0.

    Raises:
        InputError: see `TrainingJob.run`.
    """
    options = job.options
    schedule = SubnetSchedule(space, options.sampling, job.seed)
    dataset = job.open_split("train")
    net = Supernet(space, dataset.skeleton.num_joints, job.seed).to(job.ranks.device)
    state = TrainingState(net, options.optimizer, supernet_about(net))
    if job.ranks.is_main:
        space.save(job.folder / "space.yaml")
    return job.run(
        state,
        dataset,
        schedule,
        forward=make_forward(net, options.precision),
        prepare=partial(sort_when_due, state, options.sampling),
        validator=partial(supernet_validator, job, space, dataset),
    )


def supernet_validator(
    job: TrainingJob, space: SearchSpace, dataset: PoseDataset, log: RunLog | None
) -> SupernetValidator | None:
    """What scores the supernet of a job; None when validation is off."""
    options = job.options.validation
    if not options.every:
        return None
    # Scoring and drawing bring in much that a run without validation need not wait for.
    from .prediction_pictures import draw_predictions
    from .validation import SharedScoring
    from .validation import SupernetValidator
    from .validation import validation_archs

    draw = None
    if log is not None and options.pictures:
        draw = partial(draw_predictions, job.folder / "pictures", log, options.pictures)
    archs = validation_archs(space, options.subnets, job.seed)
    scoring = SharedScoring(job.open_split("val"), options, job.ranks)
    return SupernetValidator(archs, dataset, scoring, draw)
