"""Training one network on from the weights that it inherited."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from rich.table import Table
from torch import Tensor, nn

from supernet.data.dataset import PoseDataset
from supernet.data.source import require_joints
from supernet.errors import InputError
from supernet.evaluation import calibrate_by, calibration_batches
from supernet.family import Architecture
from supernet.heads.contract import head_of
from supernet.pose.protocols import main_metric
from supernet.runs.files import read_json, write_json
from supernet.runs.log import RunLog
from supernet.sampling import Sampled
from supernet.training.job import TrainingJob
from supernet.training.state import TrainingState
from supernet.training.step import Forward
from supernet.training.trainer import Scores, Task
from supernet.training.validation import SharedScoring, followed

from ..folder import save
from ..network import Network, build
from ..runtime import open_runtime
from ..source import Opened


def fresh(opened: Opened, seed: int) -> Network:
    """The network with random weights from `seed`, or with its own if it brings some.

    Raises:
        InputError: only an ONNX file was given.
    """
    net = opened.require_net()
    if not opened.trained:
        net = build(opened.arch, net.num_joints, seed)
        net.skeleton = opened.skeleton
    return net


N = TypeVar("N", bound=nn.Module)


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

    def __init__(self, arch: Architecture) -> None:
        self._arch = arch

    def resolution(self, step: int) -> int:
        """The network's resolution."""
        return self._arch.resolution

    def subnets(self, step: int) -> tuple[Sampled, ...]:
        """The network."""
        # Whoever runs a single network does not look at its description.
        return (Sampled("subnet", self._arch),)


class SubnetTask(Task[Network]):
    """One network, on a job's device.

    Args:
        job: the run.
        net: the network; it is changed.
        dataset: the training split.
        teacher: a network whose heatmaps it is also to match.
    """

    def __init__(self, job: TrainingJob, net: Network, dataset: PoseDataset, teacher: Network | None) -> None:
        net.skeleton = dataset.skeleton
        self._dataset = dataset
        self._images = job.options.validation.calibration
        self._scoring = SharedScoring(job.open_split("val"), job.options.validation, job.ranks)
        self._resolution = net.arch.resolution
        net = net.to(job.ranks.device)
        self.inherited = self._inherited(job, net)
        about = {
            "arch": net.arch.to_dict(),
            "num_joints": net.num_joints,
            "skeleton": dataset.skeleton.to_dict(),
        }
        state = TrainingState(net, job.options.optimizer, about)
        head = head_of(net.arch)
        frozen = None if teacher is None else self._frozen(teacher.to(job.ranks.device))
        super().__init__(state, OneSubnet(net.arch), [head], frozen)

    def forward(self, images: Tensor, arch: Architecture) -> list[Tensor]:
        """The network's outputs."""
        return list(self.state.net(images))

    def score(self, log: RunLog | None) -> Scores:
        """The followed metrics of the averaged network."""
        metrics = self.metrics(self.state.averaged)
        return Scores(metrics, {"best": main_metric(metrics)[1]})

    def metrics(self, net: Network) -> dict[str, float]:
        """The followed metrics of `net`, which is left as it is; every rank calls."""
        found = []
        if self._scoring.evaluator is not None:
            run, head = open_runtime(self.ready(net), "torch"), head_of(net.arch)
            found = self._scoring.evaluator(run, self._resolution, head).detections
        _, stats = self._scoring.gather(found)
        return followed(stats)

    def ready(self, net: N) -> N:
        """A copy of `net` in evaluation mode, its batch norms calibrated on training images."""
        size, images = CALIBRATION_BATCH, self._images
        return calibrated(net, calibration_batches(self._dataset, self._resolution, images, size))

    def _frozen(self, teacher: Network) -> Forward:
        """`teacher`, calibrated at the student's resolution, as a trainer calls it."""
        fixed = self.ready(teacher).requires_grad_(False)
        return lambda images, arch: list(fixed(images))

    def _inherited(self, job: TrainingJob, net: Network) -> dict[str, float]:
        """Val metrics before training; kept in the folder, as a resumed run no longer has those weights."""
        file, main = job.folder / RESULT, job.ranks.is_main
        known = read_json(file, "fine-tuning result")["inherited"] if main and file.exists() else None
        metrics: dict[str, float] | None = job.ranks.share(known)
        if metrics is None:
            metrics = self.metrics(net)
            if main:
                write_json(file, {"schema": SCHEMA, "inherited": metrics})
        return metrics


def finetune(job: TrainingJob, net: Network, teacher: Network | None = None) -> int:
    """Train `net` on, at its own resolution; every rank calls this.

    The job's folder ends up with `subnet/` (the network, batch norms calibrated) and `finetune.json` (val
    metrics before and after).

    Args:
        job: where, on what and how.
        net: the network with its inherited weights; it is changed.
        teacher: a network whose heatmaps it is also to match.

    Returns:
        the number of the signal that stopped it after saving, or 0.

    Raises:
        InputError: batch norms are fused, joints or an older checkpoint do not fit; see `TrainingJob.run`.
    """
    if not head_of(net.arch).finds_people:
        raise InputError(
            "only networks that find everybody in an image are trained here; see subnets.topdown"
        )
    if net.fused:
        raise InputError("a network with fused batch norms cannot be trained; take the unfused one")
    for network, who in ((net, "the network"), (teacher, "the teacher")):
        if network is not None and network.skeleton is not None:
            require_joints(job.data, network.skeleton, who)
    dataset = job.open_split("train")
    if teacher is not None and teacher.num_joints != net.num_joints:
        raise InputError(f"the teacher finds {teacher.num_joints} joints, the network {net.num_joints}")
    task = SubnetTask(job, net, dataset, teacher)
    signal = job.run(task, dataset)
    if not signal:
        _finish(job, task)
    return signal


def _finish(job: TrainingJob, task: SubnetTask) -> None:
    """Score the result and write it beside the metrics, unless an earlier start has done so."""
    state, file = task.state, job.folder / RESULT
    done = (job.folder / SUBNET).exists() and read_json(file, "fine-tuning result").get("steps") == state.step
    if job.ranks.share(done):
        return
    finetuned = task.metrics(state.averaged)
    if job.ranks.is_main:
        # That of a shorter training goes first: with it, the new result would be taken for complete.
        shutil.rmtree(job.folder / SUBNET, ignore_errors=True)
        result = {"inherited": task.inherited, "finetuned": finetuned, "steps": state.step}
        write_json(job.folder / RESULT, {"schema": SCHEMA, **result})
        save(task.ready(state.averaged).cpu(), job.folder / SUBNET, {"finetune": result, "trained": True})
    job.ranks.barrier()


def result_table(folder: Path) -> Table:
    """Val metrics before and after, from the run's folder.

    Raises:
        InputError: its result is missing or damaged.
    """
    result = read_json(folder / RESULT, "fine-tuning result")
    rows = [result.get(row) for row in ("inherited", "finetuned")] if isinstance(result, dict) else [None]
    for row in rows:
        if not isinstance(row, dict) or not all(type(value) in (int, float) for value in row.values()):
            raise InputError(f"{folder / RESULT} is damaged; remove {folder} to fine-tune again")
    table = Table(title=f"{folder / SUBNET}, val, in %")
    for heading in ("weights", *result["finetuned"]):
        table.add_column(heading, justify="left" if heading == "weights" else "right")
    for row in ("inherited", "finetuned"):
        table.add_row(row, *(f"{100 * value:.1f}" for value in result[row].values()))
    return table
