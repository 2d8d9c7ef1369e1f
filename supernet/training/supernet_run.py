"""Training a supernet, from its settings to the last checkpoint."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..arch import Arch
from ..data.dataset import PoseDataset
from ..network import Supernet
from ..runs.log import RunLog
from ..sampling import SubnetSchedule
from ..sorting import sort_channels
from ..space import SearchSpace
from .checkpoint import supernet_about
from .job import TrainingJob
from .options import PrecisionOptions, SamplingOptions
from .state import TrainingState
from .step import Forward

if TYPE_CHECKING:
    from .validation import SupernetValidator


def make_forward(net: Supernet, options: PrecisionOptions) -> Forward:
    """The function that runs a subnet in training.

    With `options.compile`, the largest and the smallest architecture are compiled, once per input shape;
    random ones run eagerly, since each would compile anew.
    """
    return CompiledEnds(net) if options.compile else net


class CompiledEnds:
    """Runs the largest and the smallest subnet compiled, at every resolution, and the others eagerly."""

    def __init__(self, net: Supernet) -> None:
        self._net = net
        ends = (net.space.largest(), net.space.smallest())
        self._compiled = {self._key(arch): compiled(net, arch) for arch in ends}

    def __call__(self, images: Tensor, arch: Arch) -> list[Tensor]:
        """Run `arch` on `images` (B, 3, H, W)."""
        return self._compiled.get(self._key(arch), self._eager)(images, arch)

    def _eager(self, images: Tensor, arch: Arch) -> list[Tensor]:
        heads: list[Tensor] = self._net(images, arch)
        return heads

    def _key(self, arch: Arch) -> Arch:
        return replace(arch, resolution=self._net.space.resolution[0])


def compiled(net: Supernet, arch: Arch) -> Forward:
    """The subnet `arch` compiled; the architecture that it is called with is not looked at."""
    run = torch.compile(lambda images: net(images, arch), dynamic=False)
    return lambda images, _: list(run(images))


def sort_when_due(state: TrainingState[Supernet], options: SamplingOptions) -> None:
    """Sort the channels once, before the first step that trains narrower subnets."""
    due = options.sort_channels and 0 < options.largest_first <= state.step
    if due and not state.channels_sorted:
        sort_state(state)


def sort_state(state: TrainingState[Supernet]) -> None:
    """Order the channels of the network by importance, and all that mirrors it in the same way."""
    permutations = sort_channels(state.net)
    if state.ema is not None:
        permutations.apply(dict(state.ema.net.named_parameters()))
    for kind in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
        named = {name: state.optimizer.state[p] for name, p in state.net.named_parameters()}
        permutations.apply({name: values[kind] for name, values in named.items() if kind in values})
    state.channels_sorted = True


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
    from .pictures import draw_predictions
    from .validation import SharedScoring, SupernetValidator, validation_archs

    draw = None
    if log is not None and options.pictures:
        draw = partial(draw_predictions, job.folder / "pictures", log, options.pictures)
    archs = validation_archs(space, options.subnets, job.seed)
    scoring = SharedScoring(job.open_split("val"), options, job.ranks)
    return SupernetValidator(archs, dataset, scoring, draw)
