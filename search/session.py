"""A search put together from its settings: supernet, data, budgets, strategy, shared study."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from supernet.errors import InputError
from supernet.family import load_arch
from supernet.registry import conf_names
from supernet.runs.files import read_json
from supernet.space import SearchSpace

from .costs.budgets import BudgetOptions, loose_limits, resolve_budgets
from .costs.contract import Costs, CostSettings
from .options import SearchCommand
from .scores import Scores, scores_of
from .strategies.contract import Problem, Strategy, load_strategy
from .strategies.operators import as_codes
from .strategies.plan import FIRST, UNSEEN, PlanOptions
from .study.storage import open_storage
from .study.study import SearchStudy, StudyOptions
from .study.worker import Evaluate

JOURNAL = "study.journal"
_LOG = logging.getLogger(__name__)

Named = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Session:
    """What a worker needs, all of it checked.

    Attributes:
        scores: scores an architecture.
        parts: the same on other images, by `Row.part`.
        problem: space, costs, budgets.
        strategy: what to evaluate next.
        options: how much is evaluated.
        fingerprint: what the results depend on, equal in all workers of one search, wherever they run.
        warnings: what the user ought to know.
        environment: what the report says of how the scores came about.
    """

    scores: Scores
    parts: Mapping[str, Evaluate]
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
    budgets, scores = BudgetOptions.of(config.budgets), scores_of(config)
    space = searched_space(config.space, scores.space)
    settings = CostSettings(
        scores.num_joints, budgets.convention, budgets.precision, config.latency, scores.passes
    )
    costs = Costs.of(space, settings, budgets.costs())
    problem = Problem(costs, tuple(resolve_budgets(budgets, costs)), scores.num_joints)
    strategy = load_strategy(config.strategy, problem, config.strategy_options)
    options, parts = plan_options(config, space), {}
    wanted = config.search
    if wanted.images_first or wanted.images_unseen:
        parts = parts_of(config, scores)
        first = wanted.images_first / scores.images if wanted.images_first else 1.0
        options = replace(options, first=first, unseen=bool(wanted.images_unseen))
    require_more_than_draws(config, strategy)
    # Last: it holds for the whole process, which outlives settings that were refused.
    torch.set_num_threads(config.threads or max(1, torch.get_num_threads() // config.search.workers))
    environment = {
        **scores.environment(),
        "space": f"{space.name} ({shown_size(space.size())} architectures)",
        **costs.origins(),
        "strategy": config.strategy,
        "seed": config.seed,
    }
    if wanted.images_first:
        environment["scored first on"] = f"{wanted.images_first} of them"
    if wanted.images_unseen:
        environment["unseen"] = f"{wanted.images_unseen} images after these"
    return Session(
        scores,
        parts,
        problem,
        strategy,
        options,
        {**scores.fingerprint(), **_settings(config, problem, options)},
        (*loose_limits(problem.budgets, costs), *scores.warnings),
        environment,
    )


def searched_space(source: str | None, whole: SearchSpace) -> SearchSpace:
    """The space `source`, all of whose architectures are in `whole`; None is `whole` itself.

    Raises:
        InputError: there is no such space, or a choice of it is not one of `whole`.
    """
    if source is None:
        return whole
    part = SearchSpace.load(source)
    largest = part.encode([part.largest()])
    # With every block there is, each choice of each gene comes once.
    every = np.concatenate([largest, *(code[None] for _, code in part.neighbours(largest[0]))])
    for arch in part.decode(every):
        if (reason := whole.mismatch(arch)) is not None:
            raise InputError(f"space={source} is no part of the supernet's space {whole.name!r}: {reason}")
    return part


def parts_of(config: SearchCommand, scores: Scores) -> dict[str, Evaluate]:
    """What scores architectures on the first images, and on unseen ones.

    Raises:
        InputError: the source of scores knows one set of images, or there are too few.
    """
    first, unseen = config.search.images_first, config.search.images_unseen
    named = f"search.images_first={first}" if first else f"search.images_unseen={unseen}"
    if not hasattr(scores, "on"):
        raise InputError(f"{named}: supernet={config.supernet} cannot score on other images; leave it out")
    if first >= scores.images:
        raise InputError(
            f"search.images_first={first} must be fewer than the {scores.images} images that score a network "
            "(evaluation.images)"
        )
    mine = config.evaluation.images
    if unseen and mine is None:
        raise InputError(
            f"search.images_unseen={unseen} are the images after the first evaluation.images=..., which may "
            "choose; say how many these are"
        )
    found: dict[str, Evaluate] = {}
    if first:
        found[FIRST] = scores.on(first)
    if unseen and mine is not None:
        found[UNSEEN] = scores.on(unseen, mine)
    return found


def _settings(config: SearchCommand, problem: Problem, options: PlanOptions) -> dict[str, Any]:
    """What results depend on besides the scores."""
    provenance = problem.costs.provenance()
    return {
        "space": problem.space.to_dict(),
        "budgets": [[budget.name, [list(limit) for limit in budget.limits]] for budget in problem.budgets],
        "convention": problem.costs.settings.convention,
        "strategy": [config.strategy, dict(config.strategy_options)],
        "plan": [options.seed, options.evaluations, options.batch, options.baseline],
        # Not there where they are 0: a search that knew neither goes on.
        **{
            name: images
            for name, images in (
                ("images_first", config.search.images_first),
                ("images_unseen", config.search.images_unseen),
            )
            if images
        },
        "named": [
            [[label, list(codes)] for label, codes in group]
            for group in (options.warm_start, options.references)
        ],
        **{name: found for name, found in provenance.items() if name != "macs"},
    }


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


def shown_size(size: int) -> str:
    """A number of architectures for people: in full up to a million."""
    return f"{size:,}" if size <= 1_000_000 else f"{size:.3g}"
