"""Training one network on from the weights that it inherited."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import cast

import torch
from rich.table import Table
from torch import Tensor

from supernet.arch import Arch
from supernet.errors import InputError
from supernet.evaluation import calibration_batches
from supernet.files import read_json
from supernet.files import write_json
from supernet.sampling import Sampled
from supernet.step import Forward
from supernet.training_job import TrainingJob
from supernet.training_state import TrainingState
from supernet.validation import SharedScoring

from .any_arch import AnyArch
from .any_network import AnyNetwork
from .any_network import outputs_kind
from .finetune_validation import SubnetValidator
from .finetune_validation import calibrated
from .folder import save

RESULT = "finetune.json"
SUBNET = "subnet"
SCHEMA = 1
CALIBRATION_BATCH = 16


class OneSubnet:
    """The schedule of a single network: always itself, at its own resolution."""

    def __init__(self, arch: AnyArch) -> None:
        self._arch = arch

    def resolution(self, step: int) -> int:
        """The network's resolution."""
        return self._arch.resolution

    def subnets(self, step: int) -> tuple[Sampled, ...]:
        """The network."""
        # Whoever runs a single network does not look at its description.
        return (Sampled("subnet", cast(Arch, self._arch)),)


def finetune(job: TrainingJob, net: AnyNetwork, teacher: AnyNetwork | None = None) -> int:
    """Train `net` on, at its own resolution; every rank calls this.

    The job's folder ends up with `subnet/` (the network, batch norms calibrated) and `finetune.json` (val
    figures before and after).

    Args:
        job: where, on what and how.
        net: the network with its inherited weights; it is changed.
        teacher: a network whose heatmaps it is also to match.

    Returns:
        the number of the signal that stopped it after saving, or 0.

    Raises:
        InputError: batch norms are fused, joints or an older checkpoint do not fit; see `TrainingJob.run`.
    """
    if outputs_kind(net) != "embedding":
        raise InputError("only networks that give heatmaps and tags are trained here; see subnets.topdown")
    if net.fused:
        raise InputError("a network with fused batch norms cannot be trained; take the unfused one")
    dataset = job.open_split("train")
    if teacher is not None and teacher.num_joints != net.num_joints:
        raise InputError(f"the teacher finds {teacher.num_joints} joints, the network {net.num_joints}")
    count = job.options.validation.calibration
    batches = partial(calibration_batches, dataset, net.arch.resolution, count, CALIBRATION_BATCH)
    scoring = SharedScoring(job.open_split("val"), job.options.validation, job.ranks)
    validator = SubnetValidator(batches, scoring)
    net = net.to(job.ranks.device)
    inherited = _inherited(job, net, validator)
    about = {"arch": net.arch.to_dict(), "num_joints": net.num_joints}
    state = TrainingState(net, job.options.optimizer, about)
    signal = job.run(
        state,
        dataset,
        OneSubnet(net.arch),
        forward=lambda images, arch: net(images),
        teacher=None if teacher is None else _frozen(teacher, batches, job.ranks.device),
        validator=lambda log: validator if job.options.validation.every else None,
    )
    if not signal:
        _finish(job, state, batches, inherited, validator)
    return signal


def _inherited(job: TrainingJob, net: AnyNetwork, validator: SubnetValidator) -> dict[str, float]:
    """Val figures before training; kept in the folder, as a resumed run no longer has those weights."""
    file = job.folder / RESULT
    known = (
        read_json(file, "fine-tuning result")["inherited"] if job.ranks.is_main and file.exists() else None
    )
    figures: dict[str, float] | None = job.ranks.share(known)
    if figures is None:
        figures = dict(validator(net, 0).figures)
        if job.ranks.is_main:
            write_json(file, {"schema": SCHEMA, "inherited": figures})
    return figures


def _finish(
    job: TrainingJob,
    state: TrainingState[AnyNetwork],
    batches: Callable[[], Iterable[Tensor]],
    inherited: dict[str, float],
    validator: SubnetValidator,
) -> None:
    """Score the result and write it beside the figures, unless an earlier start has done so."""
    done = job.ranks.share((job.folder / SUBNET).exists())
    if done:
        return
    finetuned = dict(validator(state.averaged, state.step).figures)
    if job.ranks.is_main:
        result = {"inherited": inherited, "finetuned": finetuned, "steps": state.step}
        about = {"finetune": result, "trained": True}
        write_json(job.folder / RESULT, {"schema": SCHEMA, **result})
        save(calibrated(state.averaged, batches()).cpu(), job.folder / SUBNET, about)
    job.ranks.barrier()


def _frozen(teacher: AnyNetwork, batches: Callable[[], Iterable[Tensor]], device: torch.device) -> Forward:
    """`teacher` in evaluation mode, calibrated at the student's resolution, as a trainer calls it."""
    fixed = calibrated(teacher.to(device), batches()).requires_grad_(False)
    return lambda images, arch: list(fixed(images))


def result_table(folder: Path) -> Table:
    """Val figures before and after, from the run's folder."""
    result = read_json(folder / RESULT, "fine-tuning result")
    table = Table(title=f"{folder / SUBNET}, val, in %")
    for heading in ("weights", "AP", "AR"):
        table.add_column(heading, justify="left" if heading == "weights" else "right")
    for row in ("inherited", "finetuned"):
        table.add_row(row, *(f"{100 * result[row][figure]:.1f}" for figure in ("AP", "AR")))
    return table
