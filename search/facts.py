"""What a search's results depend on, and what its report says about how they came about."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import torch

from supernet.checkpoint import TrainedSupernet
from supernet.data.dataset import PoseDataset
from supernet.data.source import DataConfig
from supernet.evaluation import Evaluator
from supernet.evaluation import calibration_part

from .costs import Costs
from .latency import LatencyTable
from .named import Named
from .options import SearchCommand
from .plan import PlanOptions
from .problem import Problem


def facts_of(
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
    measured = _measured_on(problem.costs)
    return {
        "supernet": _digest(trained.path.read_bytes()),
        "space": problem.space.to_dict(),
        "budgets": [[budget.name, [list(limit) for limit in budget.limits]] for budget in problem.budgets],
        "convention": config.budgets.convention,
        "strategy": [config.strategy, dict(config.strategy_options)],
        "plan": [options.seed, options.evaluations, options.batch, options.baseline],
        "named": [
            [list(named) for named in _plain(group)] for group in (options.warm_start, options.references)
        ],
        "evaluation": {
            key: list(v) if isinstance(v, tuple) else v for key, v in asdict(config.evaluation).items()
        },
        "splits": [data.layout, data.train_split, data.val_split, data.skeleton],
        # Not the pixels: reading them all at every start would take longer than a short search.
        "scored images": [len(scored), _digest(json.dumps(scored.ground_truth()).encode())],
        "calibration images": [len(calibrated), _digest(json.dumps(_images(calibrated)).encode())],
        **({"latency": measured} if measured else {}),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _images(dataset: PoseDataset) -> list[tuple[int, int, int]]:
    return [(record.image_id, record.width, record.height) for record in dataset.records]


def _plain(named: Named) -> list[tuple[str, list[int]]]:
    return [(label, list(codes)) for label, codes in named]


def _measured_on(costs: Costs) -> dict[str, Any]:
    """Device, runtime, threads and date of the latency table, if there is one."""
    table = costs.tables.get("latency_ms")
    return dict(table.about) if isinstance(table, LatencyTable) else {}


def conditions_of(
    config: SearchCommand,
    trained: TrainedSupernet,
    costs: Costs,
    evaluator: Evaluator,
    device: torch.device,
) -> dict[str, Any]:
    """What the report says of how the figures came about."""
    space, about = trained.space, _measured_on(costs)
    latency = (
        f"{about.get('device')}, {about.get('runtime')}, threads {about.get('threads')}, "
        f"{about.get('precision')}, measured {str(about.get('date'))[:10]}"
    )
    return {
        "supernet": str(trained.path),
        "training steps": trained.step,
        "space": f"{space.name} ({shown_size(space.size())} architectures)",
        "scored on": f"{evaluator.dataset.name}, {len(evaluator.dataset)} images",
        "flip test": config.evaluation.flip,
        "calibration images": config.evaluation.calibration_images,
        "MACs convention": config.budgets.convention,
        **({"latency": latency} if about else {}),
        "strategy": config.strategy,
        "seed": config.seed,
        "device": f"{device}, {torch.get_num_threads()} threads per worker, {config.search.workers} workers",
        "torch": torch.__version__,
    }


def shown_size(size: int) -> str:
    """A number of architectures for people: in full up to a million."""
    return f"{size:,}" if size <= 1_000_000 else f"{size:.3g}"
