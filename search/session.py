"""A search put together from its settings: supernet, data, budgets, strategy, shared study."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from supernet.arch import Arch
from supernet.checkpoint import TrainedSupernet
from supernet.checkpoint import load_supernet
from supernet.data.source import DataConfig
from supernet.data.source import open_split
from supernet.errors import InputError
from supernet.evaluation import Evaluator
from supernet.evaluation import SupernetEvaluator
from supernet.files import read_json
from supernet.names import conf_names
from supernet.space import SearchSpace

from .budgets import resolve_budgets
from .costs import Costs
from .costs import CostTable
from .latency import open_latency
from .leak import leak_warning
from .options import SearchCommand
from .plan import PlanOptions
from .problem import Problem
from .storage import open_storage
from .strategy import Strategy
from .strategy import load_strategy
from .study import SearchStudy
from .study import StudyOptions

_LOG = logging.getLogger(__name__)

JOURNAL = "study.journal"
Named = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Session:
    """What a worker needs, all of it checked.

    Attributes:
        trained: the supernet.
        evaluate: scores an architecture with it.
        problem: space, costs, budgets.
        strategy: what to evaluate next.
        options: how much is evaluated.
        facts: what the results depend on, equal in all workers of one search, wherever they run.
        warnings: what the user ought to know.
        conditions: facts for the report.
    """

    trained: TrainedSupernet
    evaluate: SupernetEvaluator
    problem: Problem
    strategy: Strategy
    options: PlanOptions
    facts: dict[str, Any]
    warnings: tuple[str, ...]
    conditions: dict[str, Any]


def open_session(config: SearchCommand, data: DataConfig) -> Session:
    """Open all parts but the study; whatever is wrong with the settings is found here, before any work.

    Args:
        config: the settings.
        data: where to evaluate.

    Raises:
        InputError: one of the settings, or what it names, is wrong.
    """
    torch.set_num_threads(config.threads or max(1, torch.get_num_threads() // config.search.workers))
    trained = load_supernet(config.supernet, config.checkpoint)
    space, num_joints = trained.space, trained.net.num_joints
    extra: dict[str, CostTable] = {}
    if config.latency is not None:
        extra["latency_ms"] = open_latency(config.latency, space)
    costs = Costs.standard(space, num_joints, config.budgets.convention, extra)
    problem = Problem(costs, tuple(resolve_budgets(config.budgets, costs, num_joints)), num_joints)
    strategy = load_strategy(config.strategy, problem, config.strategy_options)
    options = plan_options(config, space)
    device = find_device(config.accelerator)
    train_set, val_set = open_split(data, "train"), open_split(data, "val")
    evaluator = Evaluator(val_set, config.evaluation)
    if not evaluator.dataset.num_people:
        raise InputError(f"{val_set.name} has no annotated people to score a search on")
    leak = leak_warning(_trained_on(trained, data), evaluator.dataset)
    return Session(
        trained,
        SupernetEvaluator(trained.net.to(device), train_set, evaluator),
        problem,
        strategy,
        options,
        _facts(config, trained, problem, options, data),
        (leak,) if leak else (),
        _conditions(config, trained, evaluator, device),
    )


def open_study(config: SearchCommand, session: Session, folder: Path) -> SearchStudy:
    """The shared record of the session's search; by default a journal in the run folder.

    Raises:
        InputError: the storage does not answer, or its study of this name has other settings.
    """
    wanted = config.search
    where = wanted.storage or str(folder / JOURNAL)
    limits = StudyOptions(lease=wanted.lease, attempts=wanted.attempts, patience=wanted.patience)
    storage = open_storage(where, limits.patience)
    return SearchStudy(storage, config.name, session.problem, session.facts, limits, where)


def _conditions(
    config: SearchCommand, trained: TrainedSupernet, evaluator: Evaluator, device: torch.device
) -> dict[str, Any]:
    space = trained.space
    return {
        "supernet": str(trained.path),
        "training steps": trained.step,
        "space": f"{space.name} ({space.size():.3g} architectures)",
        "scored on": evaluator.described,
        "flip test": config.evaluation.flip,
        "calibration images": config.evaluation.calibration_images,
        "MACs convention": config.budgets.convention,
        "strategy": config.strategy,
        "seed": config.seed,
        "device": f"{device}, {torch.get_num_threads()} threads per worker, {config.search.workers} workers",
        "torch": torch.__version__,
    }


def find_device(name: str) -> torch.device:
    """The torch device of that name; `auto` is CUDA where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"accelerator {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return device


def _trained_on(trained: TrainedSupernet, data: DataConfig) -> Any:
    """The split that the supernet saw, by its own settings if its data is still there."""
    known = trained.config.get("data", {})
    same = {**asdict(data)}
    if known.get("root") == data.root:
        same["train_split"] = known.get("train_split", data.train_split)
    return open_split(DataConfig(**_rebuilt(same)), "train")


def _rebuilt(value: dict[str, Any]) -> dict[str, Any]:
    from supernet.data.options import AugmentOptions
    from supernet.data.render_options import SyntheticOptions

    value["augment"] = AugmentOptions(**value["augment"])
    if value.get("render") is not None:
        value["render"] = SyntheticOptions(**value["render"])
    return value


def _facts(
    config: SearchCommand, trained: TrainedSupernet, problem: Problem, options: PlanOptions, data: DataConfig
) -> dict[str, Any]:
    digest = hashlib.sha256(trained.path.read_bytes()).hexdigest()[:16]
    return {
        "supernet": digest,
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
    }


def _plain(named: Named) -> list[tuple[str, list[int]]]:
    return [(label, list(codes)) for label, codes in named]


def plan_options(config: SearchCommand, space: SearchSpace) -> PlanOptions:
    """How much to evaluate, with the named architectures as codes."""
    return PlanOptions(
        seed=config.seed,
        evaluations=config.search.evaluations,
        batch=config.search.batch,
        baseline=config.search.baseline,
        warm_start=_warm_start(config.search.warm_start, space),
        references=_released(space) if config.search.references else (),
    )


def _released(space: SearchSpace) -> Named:
    """The zoo's architectures that are in the space."""
    archs = {name: Arch.load(name) for name in conf_names("zoo")}
    inside = [(name, arch) for name, arch in archs.items() if space.contains(arch)]
    return tuple((name, tuple(space.encode([arch])[0].tolist())) for name, arch in inside)


def _warm_start(sources: list[str], space: SearchSpace) -> Named:
    found: list[tuple[str, tuple[int, ...]]] = []
    for source in sources:
        if source.endswith(".json") and Path(source).name.startswith("candidates"):
            found += _front_of(source, space)
            continue
        arch = Arch.load(source)
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
    import numpy as np

    archs = [arch for arch in other.decode(np.array(rows, dtype=np.int64)) if space.contains(arch)]
    if not archs:
        raise InputError(f"search.warm_start: nothing on the front in {source} is in space {space.name!r}")
    return [(f"{source}", tuple(row)) for row in space.encode(archs).tolist()]
