"""Names of the YAML files that ship in `conf/`: a name or a path leads to one file.

`conf/zoo` and `conf/spaces` hold files that commands take by name or path. They are no Hydra groups, and no
config key is named like them: Hydra reads `key=value` as the choice of a group wherever a folder
`conf/<key>` exists.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from .errors import InputError


def conf_folder(group: str) -> Path:
    """The folder of `conf/` that holds one group (`zoo`, `spaces`, ...)."""
    return Path(str(resources.files("conf"))) / group


def conf_names(group: str) -> list[str]:
    """The names that ship in one group of `conf/`, sorted."""
    return sorted(path.stem for path in conf_folder(group).glob("*.yaml"))


def find_conf(group: str, source: str | os.PathLike[str]) -> Path | None:
    """The file for `source`: an existing path, else a name in `conf/<group>/`; None if there is neither.

    A source that looks like a path (a separator or a suffix) is returned as it is, so that reading it
    reports the path.
    """
    path = Path(source)
    if os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        return path
    if path.name == os.fspath(source) and not path.suffix:
        named = conf_folder(group) / f"{path.name}.yaml"
        return named if os.path.isfile(named) else None
    return path


def require_conf(group: str, source: str | os.PathLike[str], what: str) -> Path:
    """The file for `source` as `find_conf` finds it.

    Raises:
        InputError: `source` is a name that is not in the group; the message lists those that are.
    """
    path = find_conf(group, source)
    if path is None:
        known = ", ".join(conf_names(group)) or "none"
        raise InputError(f"{what} {os.fspath(source)!r} is neither a file nor a name that ships ({known})")
    return path
