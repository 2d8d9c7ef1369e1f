"""`python -m search.run`: the best subnets of a trained supernet for a list of budgets."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from supernet.cli import fail
from supernet.cli import launch
from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.run_folders import claim_run_folder

from .options import SearchCommand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.process import BaseProcess

    from .candidate import Candidate
    from .session import Session
    from .study import SearchStudy

# What may differ when a search is taken up again: it changes no result.
VOLATILE = (
    "accelerator",
    "threads",
    "search.workers",
    "search.lease",
    "search.attempts",
    "search.patience",
    "data.workers",
    "data.cache",
)


def main() -> None:
    """Run the command."""
    launch("search", SearchCommand, run)


def run(config: SearchCommand, folder: Path) -> None:
    """Search in `folder`, or go on with the search there; then write the subnets and the report."""
    from .finish import write_results
    from .session import open_session
    from .session import open_study
    from .storage import quiet_optuna

    quiet_optuna()
    # Everything is checked before the folder is made: bad input leaves nothing behind.
    session = open_session(config, data_of(config))
    claim_run_folder(folder, config, VOLATILE)
    for warning in session.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    study = open_study(config, session, folder)
    helpers = start_workers(config, folder)
    try:
        take_part(session, study)
    finally:
        for helper in helpers:
            helper.join()
    write_results(session, study, folder)
    print(f"report: {folder / 'report.html'}")


def data_of(config: SearchCommand) -> DataConfig:
    """The data to search on: `data=...`, else what the supernet was trained with."""
    if config.data is not None:
        return config.data
    from supernet.checkpoint import find_checkpoint
    from supernet.data.source import data_from
    from supernet.snapshot import read_snapshot

    path = find_checkpoint(config.supernet, config.checkpoint)
    known: Any = read_snapshot(path).meta["config"].get("data")
    if not known:
        raise InputError(f"{path} does not say which data it was trained with; choose it with data=...")
    return data_from(known)


def start_workers(config: SearchCommand, folder: Path) -> list[BaseProcess]:
    """The further worker processes of this host."""
    context = multiprocessing.get_context("spawn")
    helpers: list[BaseProcess] = []
    for _ in range(config.search.workers - 1):
        helper = context.Process(target=_help, args=(config, folder, os.getpid()), daemon=False)
        helper.start()
        helpers.append(helper)
    return helpers


def _help(config: SearchCommand, folder: Path, parent: int) -> None:
    """A further worker: quiet, and gone when the process that started it is."""
    from .session import open_session
    from .session import open_study
    from .storage import quiet_optuna
    from .worker import search

    quiet_optuna()

    def progress(candidates: object) -> None:
        if os.getppid() != parent:
            raise SystemExit(1)

    try:
        session = open_session(config, data_of(config))
        study = open_study(config, session, folder)
        search(study, session.problem, session.strategy, session.evaluate, session.options, progress)
    except InputError as error:
        fail(error)


def take_part(session: Session, study: SearchStudy) -> None:
    """Search until it has ended, with a progress bar."""
    from supernet.progress import ProgressBar

    from .worker import search

    total = session.options.evaluations
    total += len(session.options.references) + session.options.baseline * len(session.problem.budgets)
    done = sum(candidate.state == "done" for candidate in study.candidates())
    if done:
        print(f"going on from {done} finished evaluations", file=sys.stderr)

    with ProgressBar("search", total, done) as bar:

        def progress(candidates: Sequence[Candidate]) -> None:
            finished = [candidate for candidate in candidates if candidate.state == "done"]
            if finished:
                best = max(candidate.ap for candidate in finished)
                bar.update(len(finished), f"best AP {best:.3f}")

        search(study, session.problem, session.strategy, session.evaluate, session.options, progress)


if __name__ == "__main__":
    main()
