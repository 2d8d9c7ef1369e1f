"""A training run: its folder, data, log and checkpoints around the trainer; and what trains a supernet."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from torch import Tensor

from ..data.dataset import PoseDataset
from ..data.loader import Loader, lost_workers_told
from ..data.options import LoaderOptions
from ..data.source import DataConfig, ensure_data, open_ready_split
from ..errors import InputError
from ..family import Architecture
from ..heads.contract import HEADS, require_people
from ..network import Supernet
from ..runs.files import clear_when_full, read_json, write_json
from ..runs.folders import hold_run_folder
from ..runs.log import LOG, RunLog, open_sinks
from ..sampling import SubnetSchedule
from ..sorting import sort_channels
from ..space import SearchSpace
from .checkpoint import (
    FOLDER,
    CheckpointFolder,
    TrainedSupernet,
    load_start,
    supernet_about,
    take_over,
)
from .distributed import Ranks, open_ranks
from .options import VOLATILE, JobOptions, LoggerOptions, PrecisionOptions, TrainOptions
from .pictures import draw_curves
from .state import TrainingState, learning_rate
from .step import Forward
from .trainer import M, Scores, Task, Trainer

# The fingerprints of the splits that a run began with.
DATA_FILE = "data.json"
DATA_SCHEMA = 2


@dataclass(frozen=True)
class TrainingJob:
    """One training run in a folder.

    Attributes:
        folder: the run folder: checkpoints/, log.jsonl, curves.png, pictures/.
        data: its train split is trained on, its val split validates.
        options: the recipe.
        seed: of everything random.
        ranks: the processes that share the work.
        logger: further places for the metrics.
        config: the settings as plain values, kept in each checkpoint.
        fingerprints: of the splits that were opened; on the first rank only.

    Raises:
        InputError: `batch_size`, `seed`, `sigma` or `accumulate` is out of its range.
    """

    folder: Path
    data: DataConfig
    options: TrainOptions
    seed: int
    ranks: Ranks
    logger: LoggerOptions = field(default_factory=LoggerOptions)
    config: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        # Before anything is written: a folder with files of a run holds it to its settings.
        self._loader_options()
        share, accumulate = self.options.batch_size // self.ranks.world, self.options.accumulate
        if share % accumulate:
            raise InputError(
                f"train.accumulate={accumulate} does not divide the {share} images of each process"
            )

    def _loader_options(self) -> LoaderOptions:
        options = self.options
        return LoaderOptions(
            batch_size=options.batch_size,
            seed=self.seed,
            sigma=options.sigma,
            keep_empty=self.data.keep_empty,
        )

    def open_split(self, role: str) -> PoseDataset:
        """A split of the data; the first rank renders it, if need be, before the others look for it.

        Raises:
            InputError: the run began with other annotations or joints; they may lie elsewhere by now.
        """
        if self.ranks.is_main:
            ensure_data(self.data)
        self.ranks.barrier()
        dataset = open_ready_split(self.data, role)
        if self.ranks.is_main:
            self.fingerprints[role] = dataset.fingerprint()
            if self._began_with().get(role, self.fingerprints[role]) != self.fingerprints[role]:
                roots = ", ".join(map(str, self.data.roots()))
                raise InputError(
                    f"run folder {self.folder} was trained on other annotations than those in "
                    f"{roots}, or for other joints; give the data.root (data.skeleton, data.poses) "
                    "that it began with, or choose another name=..."
                )
        return dataset

    def _began_with(self) -> Mapping[str, str]:
        """The fingerprints that the run's folder keeps; none of an older version's, which say less."""
        file = self.folder / DATA_FILE
        known = read_json(file, "data of the run") if file.exists() else {}
        return known if isinstance(known, dict) and known.get("schema") == DATA_SCHEMA else {}

    def run(self, task: Task[M], dataset: PoseDataset) -> int:
        """Train, or go on from the last checkpoint of the folder; every rank calls this.

        Args:
            task: fresh; its state takes up the last checkpoint.
            dataset: the training split.

        Returns:
            the number of the signal that stopped it after saving, or 0.

        Raises:
            InputError: settings, data or an older checkpoint in the folder do not fit, or the disk is full;
                see `Trainer.fit`.
        """
        if self.ranks.is_main and not self._began_with():
            write_json(self.folder / DATA_FILE, {"schema": DATA_SCHEMA, **self.fingerprints})
        checkpoints = CheckpointFolder(self.folder / FOLDER, self.options.checkpoint.keep)
        if self.ranks.is_main:
            checkpoints.drop_old()
        last = self.ranks.share(checkpoints.last())
        if last is not None:
            task.state.restore(last)
        # Around the log's and the loader's end too: what is still to be flushed may not fit either.
        with clear_when_full(lambda: _on_full_disk(checkpoints.last())), lost_workers_told():
            loader = self._loader(task, dataset)
            loader.start()
            log = self._open_log(task.state.step, task.state.logged) if self.ranks.is_main else None
            try:
                before = task.state.total
                trainer = Trainer(task, loader, self.options, self.ranks, checkpoints, log, self.config)
                self._announce(task.state.step, trainer.total, before)
                signal = trainer.fit()
            finally:
                loader.close()
                if log is not None:
                    log.close()
            if self.ranks.is_main:
                draw_curves(self.folder)
        return signal

    def _loader(self, task: Task[M], dataset: PoseDataset) -> Loader:
        joints = dataset.skeleton.num_joints
        scales = [output.scale for head in task.heads for output in head.outputs(joints)]
        return Loader(
            dataset,
            self._loader_options(),
            task.schedule.resolution,
            augment=self.data.augment,
            scales=scales,
            workers=self.data.workers,
            rank=self.ranks.rank,
            world=self.ranks.world,
            device=self.ranks.device,
        )

    def _open_log(self, step: int, logged: int) -> RunLog:
        self.folder.mkdir(parents=True, exist_ok=True)
        sinks = open_sinks(self.folder, self.logger, dict(self.config), step)
        return RunLog(self.folder / LOG, sinks, step, logged)

    def _announce(self, done: int, total: int, before: int) -> None:
        """Say where the run stands; `before` is how many steps it was to have so far, 0 if that is not known.

        Raises:
            InputError: it is to have fewer now.
        """
        if total < before:
            raise InputError(
                f"the run in {self.folder} is to have {before} steps, and its learning rate was laid out for "
                f"them; {total} are fewer: train.steps can only be raised, or choose another name=..."
            )
        if not self.ranks.is_main:
            return
        if done and 0 < before < total:
            rates = (learning_rate(self.options.optimizer, done, steps) for steps in (before, total))
            print(
                "{} steps instead of {}: the learning rate is laid out anew, at step {} {:.3g} instead of "
                "{:.3g}".format(total, before, done + 1, *reversed(list(rates))),
                file=sys.stderr,
            )
        if done >= total:
            print(f"{self.folder} is trained already ({done} steps)", file=sys.stderr)
        elif done:
            print(f"going on in {self.folder} from step {done} of {total}", file=sys.stderr)
        else:
            epochs = None if self.options.steps is None else self.options.epochs
            ignored = "" if epochs is None else f" (train.steps, not the train.epochs={epochs:g})"
            print(f"training {total} steps{ignored} in {self.folder}", file=sys.stderr)


@contextmanager
def open_job(config: JobOptions, folder: Path) -> Iterator[TrainingJob]:
    """The job of a command in its run folder, which no other process may work in until the block ends.

    Raises:
        InputError: see `hold_run_folder`, `open_ranks` and `TrainingJob`.
    """
    is_first = os.environ.get("RANK", "0") == "0"  # alone, or the first of those that torchrun started
    held = hold_run_folder(folder, config, VOLATILE) if is_first else nullcontext()
    with held, open_ranks(config.accelerator) as ranks:
        plain = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.structured(config)))
        yield TrainingJob(folder, config.data, config.train, config.seed, ranks, config.logger, plain)


def _on_full_disk(last: Path | None) -> str:
    good = f"the last good checkpoint is {last or 'none'}"
    return f"{good}; free some space and start the same command again to go on from there"


def train_supernet(job: TrainingJob, space: SearchSpace, init: str | None = None) -> int:
    """Train a supernet, or go on with the training in the job's folder; every rank calls this.

    Args:
        job: the run.
        space: the architectures to train.
        init: what a new run starts from, see `load_start` and `take_over`.

    Returns:
        the number of the signal that stopped it after saving, or 0.

    Raises:
        InputError: the head of the space finds nobody in whole images; see `TrainingJob.run`.
    """
    require_people(space.head_kinds, f"space {space.name}")
    fresh = job.ranks.share(not CheckpointFolder(job.folder / FOLDER).steps())
    source = load_start(init) if init is not None and fresh else None
    if source is not None and source.space.family != space.family:
        raise InputError(f"init={init} is of family {source.space.family}, the space of {space.family}")
    dataset = job.open_split("train")
    task = SupernetTask(job, space, dataset, source)
    if job.ranks.is_main:
        space.save(job.folder / "space.yaml")
    return job.run(task, dataset)


class SupernetTask(Task[Supernet]):
    """All networks of a space in one.

    Args:
        job: the run.
        space: the architectures to train.
        dataset: the training split.
        init: a supernet whose weights this one starts from.
    """

    def __init__(
        self,
        job: TrainingJob,
        space: SearchSpace,
        dataset: PoseDataset,
        init: TrainedSupernet | None = None,
    ) -> None:
        options = job.options
        net = Supernet(space, dataset.skeleton.num_joints, job.seed)
        net.skeleton = dataset.skeleton
        if init is not None:
            told = take_over(net, init, dataset.skeleton)
            if job.ranks.is_main:
                print(told, file=sys.stderr)
        net = net.to(job.ranks.device)
        state = TrainingState(net, options.optimizer, supernet_about(net))
        self._schedule = SubnetSchedule(space, options.sampling, job.seed)
        super().__init__(state, self._schedule, [HEADS.get(name) for name in space.head_kinds])
        self._sampling = options.sampling
        self._run = make_forward(net, options.precision)
        self._validator = None
        if options.validation.every:
            # Scoring and drawing bring in much that a run without validation need not wait for.
            from .validation import SupernetValidator

            val_set, pictures = job.open_split("val"), job.folder / "pictures"
            self._validator = SupernetValidator(space, dataset, val_set, options.validation, job, pictures)

    def forward(self, images: Tensor, arch: Architecture) -> list[Tensor]:
        """The outputs of the subnet `arch`."""
        return self._run(images, arch)

    def prepare(self) -> None:
        """Before the first step that trains narrower subnets: sort the channels once, call the teacher in."""
        options, state = self._sampling, self.state
        self.teacher = self._average if options.teacher and options.largest_first <= state.step else None
        due = options.sort_channels and 0 < options.largest_first <= state.step
        if due and not state.channels_sorted:
            sort_state(state)

    def _average(self, images: Tensor, arch: Architecture) -> list[Tensor]:
        """The largest network's outputs with averaged weights, normalised by the batch, as in training."""
        return list(self.state.averaged(images, self._schedule.largest(self.state.step)))

    def score(self, log: RunLog | None) -> Scores:
        """AP and AR of the subnets that validation follows."""
        assert self._validator is not None
        return self._validator(self.state.averaged, self.state.step, log)


def sort_state(state: TrainingState[Supernet]) -> None:
    """Order the channels of the network by importance, and all that mirrors it in the same way."""
    permutations = sort_channels(state.net)
    if state.ema is not None:
        permutations.apply(dict(state.ema.net.named_parameters()))
    for kind in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
        named = {name: state.optimizer.state[p] for name, p in state.net.named_parameters()}
        permutations.apply({name: values[kind] for name, values in named.items() if kind in values})
    state.channels_sorted = True


def make_forward(net: Supernet, options: PrecisionOptions) -> Forward:
    """The function that runs a subnet in training.

    With `options.compile`, the largest and the smallest architecture are compiled, once per input shape;
    random ones run eagerly, since each would compile anew.
    """
    if not options.compile:
        return net

    def key(arch: Architecture) -> Architecture:
        return replace(arch, resolution=net.space.resolution[0])

    def compiled(arch: Architecture) -> Forward:
        run = torch.compile(lambda images: net(images, arch), dynamic=False)
        return lambda images, _: list(run(images))

    ends = {key(arch): compiled(arch) for arch in (net.space.largest(), net.space.smallest())}
    return lambda images, arch: ends.get(key(arch), net)(images, arch)
