"""What scores the candidates of a search: a trained supernet, or a source of one's own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from subnets.folder import load, save
from subnets.network import extract
from supernet.cost import Passes
from supernet.data.dataset import PoseDataset
from supernet.data.source import (
    DataConfig,
    data_from,
    joints_of,
    open_ready_split,
    open_split,
    require_joints,
)
from supernet.errors import InputError
from supernet.evaluation import Evaluator, SupernetEvaluator, calibration_part
from supernet.family import Architecture
from supernet.heads.contract import require_people
from supernet.pose.protocols import PROTOCOLS
from supernet.pose.skeletons import Skeleton
from supernet.registry import Registry
from supernet.space import SearchSpace
from supernet.training.checkpoint import load_supernet
from supernet.training.distributed import pick_device

from .options import SearchCommand
from .study.worker import Evaluation

SHOWN = 3
# Bytes at the start of two files that tell different pictures apart.
COMPARED = 1 << 16


class Scores(Protocol):
    """Scores of architectures of a space.

    Made as `Class(argument, config)` for `supernet=NAME:ARGUMENT`; InputError where they cannot be had.

    Attributes:
        space: what is searched.
        num_joints: J, the number of joints.
        images: how many images score a network.
        passes: what is run for an image where networks are scored.
        metric: what is to be made large.
        warnings: what the user ought to know.
    """

    space: SearchSpace
    num_joints: int
    images: int
    passes: Passes
    metric: str
    warnings: tuple[str, ...]

    def __call__(self, arch: Architecture) -> Evaluation:
        """The score of one architecture, the same for every worker."""

    def on(self, images: int, skip: int = 0) -> Callable[[Architecture], Evaluation]:
        """What scores architectures on `images` images after the first `skip`.

        A source may leave it and `images` out; `search.images_first` and `search.images_unseen` are then
        refused.
        """

    def fingerprint(self) -> dict[str, Any]:
        """Plain values that scores depend on, equal in all workers of one search, wherever they run."""

    def environment(self) -> dict[str, Any]:
        """What the report says of how the scores came about."""

    def save(self, arch: Architecture, about: Mapping[str, Any], folder: Path) -> None:
        """Write the architecture, as it was scored, into `folder`; nothing if it is there already."""


@dataclass(frozen=True)
class Scored:
    """A score alone: the metric of `Scores` first, in [0, 1], and any further ones."""

    stats: Mapping[str, float]


SCORES: Registry[Callable[[str, SearchCommand], Scores]] = Registry(
    "source of scores",
    {"supernet": "search.scores:SupernetScores", "landscape": "search.landscape:LandscapeScores"},
)


def scores_of(config: SearchCommand) -> Scores:
    """What `supernet=...` names: `NAME:ARGUMENT` of one of `SCORES`, or a trained supernet."""
    name, colon, argument = config.supernet.partition(":")
    if not colon or name not in SCORES:
        name, argument = "supernet", config.supernet
    return SCORES.get(name)(argument, config)


class SupernetScores:
    """Subnets of a trained supernet, scored on the validation split; see `Scores`.

    Attributes:
        trained: the supernet.
        evaluate: scores an architecture with it.
    """

    def __init__(self, supernet: str, config: SearchCommand) -> None:
        device = pick_device(config.accelerator)
        self._config, self.trained = config, load_supernet(supernet, config.checkpoint)
        net, self.space, self.num_joints = self.trained.net, self.trained.space, self.trained.net.num_joints
        require_people(self.space.head_kinds, f"supernet {supernet}")
        data = self._data = config.data or self.trained.data()
        net.skeleton = net.skeleton or joints_of(data)
        require_joints(data, net.skeleton, config.supernet)
        train_set, val_set = open_split(data, "train"), open_split(data, "val")
        self._val_set = val_set
        mine = config.evaluation.images or len(val_set)
        evaluator = Evaluator(val_set, replace(config.evaluation, memory=self._memory(mine)))
        self.images = len(evaluator.dataset)
        evaluator.dataset.require_people()
        seen = trained_on(self.trained.config.get("data"), data, train_set, self.trained.skeleton)
        leak = leak_warning(seen, evaluator.dataset)
        self.warnings = (leak,) if leak else ()
        self.metric, self.passes = PROTOCOLS.get(evaluator.dataset.protocol).metrics[0], evaluator.passes
        self._train_set, self._device = train_set, device
        self.evaluate = SupernetEvaluator(net.to(device), train_set, evaluator)

    def __call__(self, arch: Architecture) -> Evaluation:
        """See `Scores`."""
        return self.evaluate(arch)

    def on(self, images: int, skip: int = 0) -> SupernetEvaluator:
        """See `Scores.on`."""
        if not skip:
            return self.evaluate.on(self.evaluate.evaluator.first(images))
        there = len(self._val_set) - skip
        if there < images:
            raise InputError(
                f"search.images_unseen={images}: {self._val_set.name} has {max(there, 0)} images after the "
                f"first {skip} (evaluation.images)"
            )
        options = replace(self._config.evaluation, images=None, memory=self._memory(images))
        evaluator = Evaluator(self._val_set.subset(range(skip, skip + images)), options)
        evaluator.dataset.require_people()
        return self.evaluate.on(evaluator)

    def _memory(self, images: int) -> float:
        """Gigabytes for as many of the images that are scored."""
        every = self._config.search.images_unseen + (self._config.evaluation.images or len(self._val_set))
        return self._config.evaluation.memory * images / every

    def fingerprint(self) -> dict[str, Any]:
        """See `Scores`."""
        data, scored, options = self._data, self.evaluate.evaluator.dataset, self._config.evaluation
        calibrated = calibration_part(self._train_set, options.calibration_images)
        return {
            "supernet": _digest(self.trained.path.read_bytes()),
            "evaluation": {
                key: list(v) if isinstance(v, tuple) else v
                for key, v in asdict(options).items()
                if key != "memory"
            },
            "splits": [data.layout, data.train_split, data.val_split],
            **({"protocol": data.protocol} if data.protocol else {}),
            # Not the pixels: reading them all at every start would take longer than a short search.
            "scored images": [len(scored), scored.fingerprint()[:16]],
            "calibration images": [len(calibrated), _digest(json.dumps(_images(calibrated)).encode())],
        }

    def environment(self) -> dict[str, Any]:
        """See `Scores`."""
        config, dataset = self._config, self.evaluate.evaluator.dataset
        threads = f"{torch.get_num_threads()} threads per worker, {config.search.workers} workers"
        return {
            "supernet": str(self.trained.path),
            "training steps": self.trained.step,
            "scored on": f"{dataset.name}, {len(dataset)} images",
            "flip test": config.evaluation.flip,
            "calibration images": config.evaluation.calibration_images,
            "device": f"{self._device}, {threads}",
            "torch": torch.__version__,
        }

    def save(self, arch: Architecture, about: Mapping[str, Any], folder: Path) -> None:
        """Extract a subnet with calibrated batch norms; see `Scores.save`."""
        if folder.is_dir() and load(folder).arch == arch:
            return
        self.evaluate.calibrate(arch)
        save(extract(self.trained.net, arch), folder, {**about, **self.trained.provenance()})


def trained_on(
    known: Mapping[str, Any] | None,
    data: DataConfig,
    train_set: PoseDataset,
    skeleton: Skeleton | None = None,
) -> PoseDataset:
    """The split that a supernet saw, for `leak_warning`.

    Args:
        known: the data settings of its training, if it keeps them.
        data: where the search reads. The split is read there if that is the data of the training (however
            its path is written), or if the data of the training is gone.
        train_set: the training split of `data`, opened.
        skeleton: the joints that the supernet keeps.
    """
    if known:
        training = data_from(known).of_joints(skeleton)
        there, here = ([root.resolve() for root in one.roots()] for one in (training, data))
        if there == here or not all(root.exists() for root in there):
            training = replace(data, train_split=training.train_split)
        if training != data:
            # What is broken, or other data without a split of that name, is no reason not to search.
            with contextlib.suppress(InputError):
                return open_ready_split(training, "train")
    return train_set


def leak_warning(trained_on: PoseDataset, scored_on: PoseDataset) -> str | None:
    """One line that warns if the two splits share images, else None.

    A search scored on training images prefers subnets that remember them; the paper's scores and these would
    not be comparable either.
    """
    files = set(_files(trained_on))
    named = {(record.image_id, record.file_name): index for index, record in enumerate(trained_on.records)}
    shared = []
    for index, (record, file) in enumerate(zip(scored_on.records, _files(scored_on), strict=True)):
        other = named.get((record.image_id, record.file_name))
        if file in files or (other is not None and _alike(trained_on, other, scored_on, index)):
            shared.append(record.image_id)
    shared.sort()
    if not shared:
        return None
    some = ", ".join(str(image) for image in shared[:SHOWN])
    return (
        f"data leak: {len(shared)} of {len(scored_on)} images of the search split {scored_on.name} "
        f"were trained on (image ids {some}{', ...' if len(shared) > SHOWN else ''}); train on a split "
        "of its own (data.train_split=train) for scores that mean something"
    )


def _files(dataset: PoseDataset) -> list[str]:
    """Where each image lies, however its folder is written; a mix may change its number and name."""
    return [os.path.realpath(dataset.image_name(index)) for index in range(len(dataset))]


def _alike(one: PoseDataset, index: int, other: PoseDataset, at: int) -> bool:
    """Whether images of one number and name are one image, as in a copy of the data: folders of two splits
    often number and name their images alike. What is not there to be compared counts as one image.
    """
    files = (one.store, one.file_name(index)), (other.store, other.file_name(at))
    try:
        first, second = (store.read(name, COMPARED) for store, name in files)
    except InputError:
        return True
    return first == second


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _images(dataset: PoseDataset) -> list[tuple[int, int, int]]:
    return [(record.image_id, record.width, record.height) for record in dataset.records]
