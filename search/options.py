"""Settings of `search.run`, free of torch and Optuna so that they load in an instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.options import (
    COUNTED,
    STARTED,
    CommandOptions,
    EvaluationOptions,
    Options,
    option,
    seed_option,
    threads_option,
)


def default_budgets() -> dict[str, Any]:
    """No budget; the keys that every search has."""
    return {"macs": [], "params": [], "latency_ms": [], "names": [], "named": {}, "convention": "exact"}


@dataclass
class SearchOptions(Options, group="search"):
    """How much is searched, and by whom.

    Attributes:
        evaluations: real evaluations of the strategy, warm start included.
        batch: evaluations per round; a round is planned once the one before is finished, so that the result
            does not depend on the number of workers.
        baseline: random subnets per budget, within 10% of its limit, evaluated for comparison; 0 is none.
        images_first: images that score what the strategy proposes; what they favour is then scored on all
            that `evaluation.images` says. 0: all images at once.
        images_unseen: further images, after the first `evaluation.images` of the split, that choose nothing:
            the front, the chosen and the random subnets are scored on them at the end. 0 is none.
        warm_start: architectures (names or files) to evaluate first; a run's `candidates.json` means its
            front.
        references: evaluate the released LitePose architectures for comparison if they are in the space; with
            the weights of this supernet, not the released ones.
        workers: processes on this host.
        storage: journal file, database URL or grpc://host:port; None is a journal in the run folder.
        repair: cut a damaged journal before its first damaged line, and evaluate again what followed.
        lease: seconds of silence after which a worker's candidate is taken over.
        attempts: workers that may die over a candidate before it is given up.
        patience: seconds to wait for a storage that does not answer.
    """

    evaluations: int = option(100, least=1, most=COUNTED)
    batch: int = option(8, least=1)
    baseline: int = option(8, least=0)
    images_first: int = option(0, least=0, most=COUNTED)
    images_unseen: int = option(0, least=0, most=COUNTED)
    warm_start: list[str] = field(default_factory=list)
    references: bool = True
    workers: int = option(1, least=1, most=STARTED)
    storage: str | None = None
    repair: bool = False
    lease: float = option(60.0, above=0, most=COUNTED)
    attempts: int = option(3, least=1)
    patience: float = option(30.0, above=0, most=COUNTED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.workers > 1 and str(self.storage).startswith("sqlite"):
            raise InputError(
                f"search.workers={self.workers}: SQLite lets two workers take the same candidate; leave "
                "search.storage out (a journal in the run folder), or give PostgreSQL"
            )


@dataclass
class SearchCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        name: of the run; its folder is runs/search/<name>.
        supernet: a training run: its folder, or its name in runs/train; a supernet that ships; or a source of
            scores as NAME:ARGUMENT, such as landscape:litepose (docs/search.md).
        checkpoint: which of its checkpoints: best or last.
        space: a part of the supernet's space (a name or a YAML file) that alone is searched; null: all of it.
        strategy: predictor, evolution, random, a sampler as optuna:GPSampler, one that a plugin registers, or
            a class of your own as package.module:Class.
        strategy_options: arguments of the strategy; those of the predictor's: models=[gp_ard, ...].
        budgets: limits by the name of a cost, [0.9G,30%,litepose-s] each: an amount, a share of the largest
            subnet (or a number up to 1), or as much as that network has. Costs: `macs` (of one
            square pass), `scored_macs` (of all that `evaluation` runs for an image), `params`, `latency_ms`,
            `ram` and `flash` (bytes), or one of a plugin. `names`: one for each limit, in that
            order; default: as it was written, a file's name without folder and suffix. `named`: budgets by
            name with one or more limits, {phone: {macs: 0.9G, params: 2M}}. `convention`: MACs counted
            `exact`, or as the paper does, `litepose`. `precision`: memory for `int8` (default), `float32`, or
            `ethos_u`: INT8 as Arm's Ethos-U keeps it.
        latency: a latency table written by `search.profile` (file, or name of its run), for
            budgets.latency_ms.
        seed: of everything random.
        accelerator: auto, cpu, cuda or cuda:1.
        threads: of the CPU per worker; None shares the cores among the workers.
        data: where to evaluate; None uses the data that the supernet was trained with.
    """

    name: str = "default"
    supernet: str = "???"
    checkpoint: str = "best"
    space: str | None = None
    strategy: str = "predictor"
    strategy_options: dict[str, Any] = field(default_factory=dict)
    budgets: dict[str, Any] = field(default_factory=default_budgets)
    search: SearchOptions = field(default_factory=SearchOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)
    latency: str | None = None
    seed: int = seed_option()
    accelerator: str = "auto"
    threads: int | None = threads_option(None)
    data: DataConfig | None = None
