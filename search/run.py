"""`python -m search.run`: the best subnets of a trained supernet for a list of budgets."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.cli import fail, launch
from supernet.errors import InputError
from supernet.registry import load_plugins
from supernet.runs.folders import claim_run_folder, in_turn

from .options import SearchCommand

if TYPE_CHECKING:
    from .session import Session
    from .study.study import SearchStudy

# What may differ when a search is taken up again. Accelerator and threads move scores in their last digits
# (docs/search.md says so); the others change no result.
VOLATILE = (
    "accelerator",
    "threads",
    "search.workers",
    "search.lease",
    "search.attempts",
    "search.patience",
    "search.repair",
    "evaluation.memory",
    # What is scored on and calibrated with is in the fingerprint of the study.
    "data",
)


def main() -> None:
    """Run the command."""
    launch("search", SearchCommand, run)


def run(config: SearchCommand, folder: Path) -> None:
    """Search in `folder`, or go on with the search there; then write the subnets and the report."""
    from .report.page import write_results
    from .session import open_session, open_study
    from .study.storage import quiet_optuna
    from .study.worker import stopped_by_sigterm, worker_processes

    quiet_optuna()
    # Everything is checked before the folder is made: bad input leaves nothing behind.
    session = open_session(config)
    # The same command may be started here again at any time: one after the other claims and writes.
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder):
        claim_run_folder(folder, without_password(config), VOLATILE)
    for warning in session.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    study = open_study(config, session, folder)
    further = (config.search.workers - 1, take_part_too, config, folder, os.getpid())
    with stopped_by_sigterm(), worker_processes(*further):
        take_part(session, study)
    with in_turn(folder):
        write_results(session, study, folder)
    print(f"report: {folder / 'report.html'}")


def without_password(config: SearchCommand) -> SearchCommand:
    """The settings as they may be kept: a password in `search.storage` is neither written nor compared."""
    from .study.storage import hidden_password

    storage = config.search.storage
    shown = hidden_password(storage) if storage else storage
    return replace(config, search=replace(config.search, storage=shown))


def take_part_too(config: SearchCommand, folder: Path, parent: int) -> None:
    """A further worker: quiet, and gone when the process that started it is."""
    from .session import open_session, open_study
    from .study.storage import quiet_optuna
    from .study.worker import search, stopped_by_sigterm

    def progress(done: int, best: float) -> None:
        if os.getppid() != parent:
            raise SystemExit(1)

    quiet_optuna()
    try:
        load_plugins(config.plugins)
        with stopped_by_sigterm():
            session = open_session(config)
            study = open_study(config, session, folder)
            work = session.problem, session.strategy, session.scores, session.options
            search(study, *work, progress, session.parts)
    except InputError as error:
        fail(error)


def take_part(session: Session, study: SearchStudy) -> None:
    """Search until it has ended, with a progress bar."""
    from supernet.runs.progress import ProgressBar

    from .study.worker import search

    total = session.options.evaluations
    total += len(session.options.references) + session.options.baseline * len(session.problem.budgets)
    study.candidates()
    if study.done:
        print(f"going on from {study.done} finished evaluations", file=sys.stderr)

    with ProgressBar("search", total, study.done) as bar:

        def progress(done: int, best: float) -> None:
            if done:
                best_so_far = f"best {session.scores.metric} {best:.3f}"
                bar.update(done, best_so_far, max(total, study.planned))

        work = session.problem, session.strategy, session.scores, session.options
        search(study, *work, progress, session.parts)


if __name__ == "__main__":
    main()
