"""Multiruns: folder names that hold what varies between the jobs, and launchers that are not installed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

from .errors import InputError

MULTIRUN = ("-m", "--multirun")
# What Hydra shows instead of running; it ends in a traceback when asked for both.
_SHOWING = re.compile(r"(--cfg|--info)(=.*)?|-[ci]")
# Never part of a job's folder name.
ALWAYS_LEFT_OUT = ("name", "experiment")
_NO_LAUNCHER = re.compile(r"Could not load 'hydra/launcher/(joblib|submitit|ray)")


def with_job_names(arguments: Sequence[str]) -> list[str]:
    """A multirun's command line with its fixed settings kept out of the jobs' folder names.

    Hydra names a job's folder after all its overrides: with a few paths among them that is longer than a
    file name may be. Other command lines come back as they are.

    Args:
        arguments: the command line without the program.

    Raises:
        HydraException: an override cannot be parsed.
        InputError: a multirun and something to show are asked for at once.
    """
    if not any(flag in arguments for flag in MULTIRUN):
        return list(arguments)
    shown = next((argument for argument in arguments if _SHOWING.fullmatch(argument)), None)
    if shown is not None:
        raise InputError(f"{shown} shows the settings of one run; leave out -m and give one value of each")
    places = [i for i, argument in enumerate(arguments) if "=" in argument and not argument.startswith("-")]
    if not places:
        return list(arguments)
    parsed = OverridesParser.create().parse_overrides([arguments[i] for i in places])
    fixed = [override.key_or_group for override in parsed if not override.is_sweep_override()]
    keys = ",".join(f"'{key}'" for key in dict.fromkeys((*ALWAYS_LEFT_OUT, *fixed)))
    # Beside the other overrides: Hydra's parser takes only one run of them.
    first = places[0]
    added = f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"
    return [*arguments[:first], added, *arguments[first:]]


def launcher_mend(message: str) -> str:
    """What to add to Hydra's `message` when it misses a launcher's package; else nothing."""
    missing = _NO_LAUNCHER.search(message)
    return f" It comes with: pip install 'litepose-ofa[{missing[1]}]'" if missing else ""
