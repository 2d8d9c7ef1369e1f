"""Run folders: which names they may have, and whose they are."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from ..errors import InputError
from .files import read_yaml, remove_litter, write_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RUN_LOCK = ".lock"
# Leaves room for what is added to it while something is unfinished; file systems take 255.
LONGEST_NAME = 200
# Where data lie, for commands that compare what they hold (`PoseDataset.fingerprint`).
WHEREABOUTS = tuple(
    f"{data}.{place}"
    for data in ("data", "data.sources.*")
    for place in ("root", "skeleton", "poses", "render.poses")
)
# Settings of every command that change no result: what a plugin adds counts where a setting names it.
NEVER_COMPARED = (
    *("plugins", "data.workers", "data.cache", "data.verify", "data.render.workers"),
    *("data.sources.*.cache", "data.sources.*.render.workers"),
)


@contextlib.contextmanager
def in_turn(folder: Path) -> Iterator[None]:
    """Wait for every other process that is within this block for the same folder."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def alone_in(folder: Path, beside: bool = False) -> Iterator[None]:
    """Keep other processes from the same run folder until the block, or this process, ends.

    Args:
        folder: the run folder.
        beside: hold a file beside it, for a folder that is to appear with all its files or not at all.

    Raises:
        InputError: another process works in it.
    """
    if fcntl is None:
        yield
        return
    path = folder.with_name(f".{folder.name}{RUN_LOCK}") if beside else folder / RUN_LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _locked(path, folder)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, folder: Path) -> int:
    """The lock file, open and locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            # A record lock: a worker process that outlives this one does not inherit it.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                return descriptor  # some network file systems have no locks
            os.close(descriptor)
            raise InputError(
                f"another process works in run folder {folder}; wait until it has ended, "
                "or choose another name=..."
            ) from None
        # Its last holder may have removed it between the opening and the locking.
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


CONFIG_FILE = "config.yaml"


def check_run_name(name: object) -> str:
    """`name` if it can be that of a run's folder: one path component, within `runs/<task>/`.

    Raises:
        InputError: it is empty, holds a path separator, or begins with a dot.
    """
    text = str(name)
    if not text.strip() or text.startswith(".") or any(mark in text for mark in "/\\\0"):
        raise InputError(f"name={text} cannot name a run folder; use letters and digits, without / or \\")
    if len(text.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        raise InputError(f"name={text[:30]}... is longer than {LONGEST_NAME} bytes; choose a shorter one")
    return text


def claim_run_folder(folder: Path, config: object, volatile: tuple[str, ...] = ()) -> bool:
    """Make `folder` this config's own, or find that it already is.

    The config is kept in the folder as `config.yaml`. A second start with the same config may go on in the
    folder; one with another config is refused, so that nothing is overwritten or mixed.

    Args:
        folder: the run folder.
        config: the command's config dataclass.
        volatile: dotted keys that may differ between starts (workers, devices, logging); * is any part.

    Returns:
        True if the folder was there already with the same config (so: resume), False if it is new.

    Raises:
        InputError: the folder belongs to another config, holds files of something else, or leads elsewhere.
    """
    for where, names, _ in os.walk(folder):
        for path in (Path(where, name) for name in names):
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise InputError(f"{path} leads out of the run folder; put the folder itself there")
    text = OmegaConf.to_yaml(OmegaConf.structured(config))
    file = folder / CONFIG_FILE
    remove_litter(folder)
    if file.exists():
        there, here = read_config(folder), OmegaConf.to_container(OmegaConf.create(text))
        _complete(there, OmegaConf.to_container(OmegaConf.structured(type(config))), here)
        changed = _difference(there, here, (*NEVER_COMPARED, *volatile))
        # A start that failed before it made anything holds no one to its settings.
        if changed and _files(folder) != {CONFIG_FILE}:
            raise InputError(
                f"run folder {folder} was started with other settings ({', '.join(changed[:4])}); "
                "choose another name=..., or remove the folder"
            )
        if not changed:
            if there != here:
                write_text(file, text)
            return True
    elif folder.exists() and _files(folder):
        raise InputError(f"run folder {folder} holds other files; choose another name=...")
    write_text(file, text)
    return False


def read_config(folder: Path) -> dict[str, Any]:
    """The settings that a run's folder keeps.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    found = read_yaml(folder / CONFIG_FILE, "run config")
    if not isinstance(found, dict) or not found:
        raise InputError(
            f"run config {folder / CONFIG_FILE} holds no settings; put it back, or remove the folder"
        )
    return found


@contextmanager
def hold_run_folder(folder: Path, config: object, volatile: tuple[str, ...] = ()) -> Iterator[bool]:
    """`claim_run_folder`, and keep other processes out of it until the block, or this process, ends.

    Yields:
        what `claim_run_folder` returns.

    Raises:
        InputError: another process works in it, or see `claim_run_folder`.
    """
    with alone_in(folder):
        yield claim_run_folder(folder, config, volatile)


def _files(folder: Path) -> set[str]:
    """Names in it; hidden ones are the lock and what a killed start had not finished."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def _complete(there: Any, default: Any, here: Any) -> None:
    """Add to the settings `there` those of `here` that an older version did not know, at their default."""
    if not all(isinstance(one, dict) for one in (there, default, here)):
        return
    for key in (key for key in here if key in default):
        _complete(there.setdefault(key, default[key]), default[key], here[key])


def _difference(old: Any, new: Any, ignored: tuple[str, ...], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            dotted = f"{prefix}.{key}" if prefix else str(key)
            if not any(fnmatchcase(dotted, pattern) for pattern in ignored):
                found += _difference(old.get(key), new.get(key), ignored, dotted)
        return found
    return [] if old == new else [f"{prefix}: {old!r} there, {new!r} now"]
