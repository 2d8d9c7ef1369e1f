"""What a search's results depend on, and the environment they came about in."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from supernet.data.dataset import PoseDataset
from supernet.data.source import DataConfig, data_from, open_ready_split
from supernet.errors import InputError
from supernet.evaluation import Evaluator, calibration_part
from supernet.family import load_arch
from supernet.pose.skeletons import Skeleton
from supernet.registry import conf_names
from supernet.runs.files import read_json
from supernet.space import SearchSpace
from supernet.training.checkpoint import TrainedSupernet

from .costs.contract import Costs
from .options import SearchCommand
from .strategies.contract import Problem
from .strategies.operators import as_codes
from .strategies.plan import PlanOptions

SHOWN = 3
# Bytes at the start of two files that tell different pictures apart.
COMPARED = 1 << 16
_LOG = logging.getLogger(__name__)

Named = tuple[tuple[str, tuple[int, ...]], ...]


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


def released(space: SearchSpace) -> Named:
    """The zoo's architectures that are in the space."""
    archs = {name: load_arch(name) for name in conf_names("zoo")}
    inside = [(name, arch) for name, arch in archs.items() if space.contains(arch)]
    return tuple((name, tuple(space.encode([arch])[0].tolist())) for name, arch in inside)


def warm_start(sources: list[str], space: SearchSpace) -> Named:
    """The architectures of `search.warm_start`, with their names.

    Raises:
        InputError: one of them is missing, damaged, or not in the space.
    """
    found: list[tuple[str, tuple[int, ...]]] = []
    for source in sources:
        if source.endswith(".json") and Path(source).name.startswith("candidates"):
            found += _front_of(source, space)
            continue
        arch = load_arch(source)
        if Path(source, "model.safetensors").exists():
            _LOG.warning(
                "search.warm_start: %s is evaluated with this supernet's weights, not its own", source
            )
        reason = space.mismatch(arch)
        if reason is not None:
            raise InputError(f"search.warm_start: {source} is not in space {space.name!r}: {reason}")
        found.append((Path(source).stem, tuple(space.encode([arch])[0].tolist())))
    return tuple(found)


def _front_of(source: str, space: SearchSpace) -> list[tuple[str, tuple[int, ...]]]:
    """The front of another search, whose space may differ as long as the architectures are in this one."""
    value = read_json(source, "candidates of a search")
    try:
        other = SearchSpace.from_dict(value["space"])
        front = set(value["front"])
        rows = [candidate["codes"] for candidate in value["candidates"] if candidate["number"] in front]
    except (KeyError, TypeError):
        raise InputError(f"{source} holds no candidates of a search") from None
    codes = as_codes(other, rows, f"the codes in {source}")
    if not len(codes):
        raise InputError(f"search.warm_start: the front in {source} is empty")
    archs = [arch for arch in other.decode(codes) if space.contains(arch)]
    if not archs:
        raise InputError(f"search.warm_start: nothing on the front in {source} is in space {space.name!r}")
    return [(f"{source}", tuple(row)) for row in space.encode(archs).tolist()]


def fingerprint_of(
    config: SearchCommand,
    trained: TrainedSupernet,
    problem: Problem,
    options: PlanOptions,
    data: DataConfig,
    scored: PoseDataset,
    train_set: PoseDataset,
) -> dict[str, Any]:
    """Plain values that are equal in all workers of one search, wherever they run."""
    calibrated = calibration_part(train_set, config.evaluation.calibration_images)
    provenance = problem.costs.provenance()
    return {
        "supernet": _digest(trained.path.read_bytes()),
        "space": problem.space.to_dict(),
        "budgets": [[budget.name, [list(limit) for limit in budget.limits]] for budget in problem.budgets],
        "convention": problem.costs.settings.convention,
        "strategy": [config.strategy, dict(config.strategy_options)],
        "plan": [options.seed, options.evaluations, options.batch, options.baseline],
        "named": [
            [[label, list(codes)] for label, codes in group]
            for group in (options.warm_start, options.references)
        ],
        "evaluation": {
            key: list(v) if isinstance(v, tuple) else v
            for key, v in asdict(config.evaluation).items()
            if key != "memory"
        },
        "splits": [data.layout, data.train_split, data.val_split],
        **({"protocol": data.protocol} if data.protocol else {}),
        # Not the pixels: reading them all at every start would take longer than a short search.
        "scored images": [len(scored), scored.fingerprint()[:16]],
        "calibration images": [len(calibrated), _digest(json.dumps(_images(calibrated)).encode())],
        **{name: found for name, found in provenance.items() if name != "macs"},
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _images(dataset: PoseDataset) -> list[tuple[int, int, int]]:
    return [(record.image_id, record.width, record.height) for record in dataset.records]


def environment_of(
    config: SearchCommand,
    trained: TrainedSupernet,
    costs: Costs,
    evaluator: Evaluator,
    device: torch.device,
) -> dict[str, Any]:
    """What the report says of how the scores came about."""
    space = trained.space
    return {
        "supernet": str(trained.path),
        "training steps": trained.step,
        "space": f"{space.name} ({shown_size(space.size())} architectures)",
        "scored on": f"{evaluator.dataset.name}, {len(evaluator.dataset)} images",
        "flip test": config.evaluation.flip,
        "calibration images": config.evaluation.calibration_images,
        **costs.origins(),
        "strategy": config.strategy,
        "seed": config.seed,
        "device": f"{device}, {torch.get_num_threads()} threads per worker, {config.search.workers} workers",
        "torch": torch.__version__,
    }


def shown_size(size: int) -> str:
    """A number of architectures for people: in full up to a million."""
    return f"{size:,}" if size <= 1_000_000 else f"{size:.3g}"
