"""Training one network on from the weights that it inherited."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import torch
from rich.table import Table
from torch import Tensor, nn

from supernet.arch import Arch
from supernet.calibration import calibrate_by
from supernet.errors import InputError
from supernet.evaluation import calibration_batches
from supernet.pose.protocols import main_metric
from supernet.runs.files import read_json, write_json
from supernet.sampling import Sampled
from supernet.training.job import TrainingJob
from supernet.training.state import TrainingState
from supernet.training.step import Forward
from supernet.training.trainer import Scores
from supernet.training.validation import SharedScoring, followed

from ..families.descriptions import AnyArch
from ..families.networks import AnyNetwork, build_network, outputs_kind
from ..folder import save
from ..runtime import open_runtime
from ..source import Opened


def fresh(opened: Opened, seed: int) -> AnyNetwork:
    """The network with random weights from `seed`, or with its own if it brings some.

    Raises:
        InputError: only an ONNX file was given.
    """
    net = opened.require_net()
    if not opened.trained:
        net = build_network(opened.arch, net.num_joints, seed)
        net.skeleton = opened.skeleton
    return net


N = TypeVar("N", bound=nn.Module)


class SubnetValidator:
    """Calibrates a copy of a network and scores it; every rank calls.

    Args:
        batches: normalised training images (B, 3, R, R) for batch-norm calibration, anew at each call.
        scoring: what to score on.
    """

    def __init__(self, batches: Callable[[], Iterable[Tensor]], scoring: SharedScoring) -> None:
        self._batches = batches
        self._scoring = scoring

    def __call__(self, net: AnyNetwork, step: int) -> Scores:
        """AP and AR of `net`, which is left as it is."""
        found = []
        if self._scoring.evaluator is not None:
            ready = calibrated(net, self._batches())
            run = open_runtime(ready, "torch")
            found = self._scoring.evaluator(run, net.arch.resolution).detections
        _, stats = self._scoring.gather(found)
        figures = followed(stats)
        return Scores(figures, {"best": main_metric(figures)[1]})


def calibrated(net: N, batches: Iterable[Tensor]) -> N:
    """A copy of `net` in evaluation mode, its batch norms calibrated on `batches`."""
    copied = copy.deepcopy(net)
    device = next(copied.parameters()).device
    calibrate_by(copied, copied, (images.to(device) for images in batches))
    return copied.eval()


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
    for heading in ("weights", *result["finetuned"]):
        table.add_column(heading, justify="left" if heading == "weights" else "right")
    for row in ("inherited", "finetuned"):
        table.add_row(row, *(f"{100 * value:.1f}" for value in result[row].values()))
    return table
