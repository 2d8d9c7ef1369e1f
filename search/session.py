"""A search put together from its settings: supernet, data, budgets, strategy, shared study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from supernet.data.source import joints_of, open_split
from supernet.errors import InputError
from supernet.evaluation import Evaluator, SupernetEvaluator
from supernet.heads.contract import require_people
from supernet.pose.skeletons import require_same_joints
from supernet.space import SearchSpace
from supernet.training.checkpoint import TrainedSupernet, load_supernet
from supernet.training.distributed import pick_device

from .costs.budgets import BudgetOptions, loose_limits, resolve_budgets
from .costs.contract import Costs, CostSettings
from .fingerprint import environment_of, fingerprint_of, leak_warning, released, trained_on, warm_start
from .options import SearchCommand
from .strategies.contract import Problem, Strategy, load_strategy
from .strategies.plan import PlanOptions
from .study.storage import open_storage
from .study.study import SearchStudy, StudyOptions

JOURNAL = "study.journal"


@dataclass(frozen=True)
class Session:
    """What a worker needs, all of it checked.

    Attributes:
        trained: the supernet.
        evaluate: scores an architecture with it.
        problem: space, costs, budgets.
        strategy: what to evaluate next.
        options: how much is evaluated.
        fingerprint: what the results depend on, equal in all workers of one search, wherever they run.
        warnings: what the user ought to know.
        environment: what the report says of how the scores came about.
    """

    trained: TrainedSupernet
    evaluate: SupernetEvaluator
    problem: Problem
    strategy: Strategy
    options: PlanOptions
    fingerprint: dict[str, Any]
    warnings: tuple[str, ...]
    environment: dict[str, Any]


def open_session(config: SearchCommand) -> Session:
    """Open all parts but the study; whatever is wrong with the settings is found here, before any work.

    Raises:
        InputError: one of the settings, or what it names, is wrong.
    """
    budgets, device = BudgetOptions.of(config.budgets), pick_device(config.accelerator)
    trained = load_supernet(config.supernet, config.checkpoint)
    space, num_joints = trained.space, trained.net.num_joints
    require_people(space.largest(), f"supernet {config.supernet}")
    data = config.data or trained.data()
    mend = "choose data of its joints"
    trained.net.skeleton = trained.net.skeleton or joints_of(data)
    require_same_joints(trained.net.skeleton, config.supernet, joints_of(data), data.described(), mend)
    train_set, val_set = open_split(data, "train"), open_split(data, "val")
    evaluator = Evaluator(val_set, config.evaluation)
    evaluator.dataset.require_people()
    settings = CostSettings(
        num_joints, budgets.convention, budgets.precision, config.latency, evaluator.passes
    )
    costs = Costs.of(space, settings, budgets.costs())
    problem = Problem(costs, tuple(resolve_budgets(budgets, costs)), num_joints)
    strategy = load_strategy(config.strategy, problem, config.strategy_options)
    options = plan_options(config, space)
    require_more_than_draws(config, strategy)
    seen = trained_on(trained.config.get("data"), data, train_set, trained.skeleton)
    leak = leak_warning(seen, evaluator.dataset)
    # Last: it holds for the whole process, which outlives settings that were refused.
    torch.set_num_threads(config.threads or max(1, torch.get_num_threads() // config.search.workers))
    return Session(
        trained,
        SupernetEvaluator(trained.net.to(device), train_set, evaluator),
        problem,
        strategy,
        options,
        fingerprint_of(config, trained, problem, options, data, evaluator.dataset, train_set),
        (*loose_limits(problem.budgets, costs), *([leak] if leak else [])),
        environment_of(config, trained, costs, evaluator, device),
    )


def require_more_than_draws(config: SearchCommand, strategy: Strategy) -> None:
    """Raise InputError if the evaluations end before `strategy` has learnt anything from them."""
    initial, evaluations = getattr(strategy, "initial", 0), config.search.evaluations
    if evaluations <= initial:
        raise InputError(
            f"search.evaluations={evaluations} leaves strategy={config.strategy} nothing to choose: "
            f"its first {initial} are drawn at random; raise it, or take strategy=random"
        )


def open_study(config: SearchCommand, session: Session, folder: Path) -> SearchStudy:
    """The shared record of the session's search; by default a journal in the run folder.

    Raises:
        InputError: the storage does not answer, or its study of this name has other settings.
    """
    wanted = config.search
    where = wanted.storage or str(folder / JOURNAL)
    limits = StudyOptions(lease=wanted.lease, attempts=wanted.attempts, patience=wanted.patience)
    storage = open_storage(where, limits.patience, wanted.repair)
    return SearchStudy(storage, config.name, session.problem, session.fingerprint, limits, where)


def plan_options(config: SearchCommand, space: SearchSpace) -> PlanOptions:
    """How much to evaluate, with the named architectures as codes."""
    return PlanOptions(
        seed=config.seed,
        evaluations=config.search.evaluations,
        batch=config.search.batch,
        baseline=config.search.baseline,
        warm_start=warm_start(config.search.warm_start, space),
        references=released(space) if config.search.references else (),
    )
