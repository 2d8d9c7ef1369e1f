"""Run folders: which names they may have, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from .errors import InputError
from .files import read_yaml
from .files import write_text
from .locks import RUN_LOCK
from .locks import alone_in

CONFIG_FILE = "config.yaml"


def check_run_name(name: object) -> str:
    """`name` if it can be that of a run's folder: one path component, within `runs/<task>/`.

    Raises:
        InputError: it is empty, holds a path separator, or begins with a dot.
    """
    text = str(name)
    if not text.strip() or text.startswith(".") or any(mark in text for mark in "/\\\0"):
        raise InputError(f"name={text} cannot name a run folder; use letters and digits, without / or \\")
    return text


def claim_run_folder(folder: Path, config: object, volatile: tuple[str, ...] = ()) -> bool:
    """Make `folder` this config's own, or find that it already is.

    The config is kept in the folder as `config.yaml`. A second start with the same config may go on in the
    folder; one with another config is refused, so that nothing is overwritten or mixed.

    Args:
        folder: the run folder.
        config: the command's config dataclass.
        volatile: dotted keys that may differ between starts (workers, devices, logging).

    Returns:
        True if the folder was there already with the same config (so: resume), False if it is new.

    Raises:
        InputError: the folder belongs to another config, or holds files of something else.
    """
    text = OmegaConf.to_yaml(OmegaConf.structured(config))
    file = folder / CONFIG_FILE
    if file.exists():
        changed = _difference(
            read_yaml(file, "run config"), OmegaConf.to_container(OmegaConf.create(text)), volatile
        )
        # A start that failed before it made anything holds no one to its settings.
        if changed and _files(folder) != {CONFIG_FILE}:
            raise InputError(
                f"run folder {folder} was started with other settings ({', '.join(changed[:4])}); "
                "choose another name=..., or remove the folder"
            )
        if not changed:
            return True
    elif folder.exists() and _files(folder):
        raise InputError(f"run folder {folder} holds other files; choose another name=...")
    write_text(file, text)
    return False


@contextmanager
def hold_run_folder(folder: Path, config: object, volatile: tuple[str, ...] = ()) -> Iterator[None]:
    """`claim_run_folder`, and keep other processes out of it until the block, or this process, ends.

    Raises:
        InputError: another process works in it, or see `claim_run_folder`.
    """
    with alone_in(folder):
        claim_run_folder(folder, config, volatile)
        yield


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {RUN_LOCK}


def _difference(old: Any, new: Any, ignored: tuple[str, ...], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in [*old, *(key for key in new if key not in old)]:
            dotted = f"{prefix}.{key}" if prefix else str(key)
            if dotted not in ignored:
                found += _difference(old.get(key), new.get(key), ignored, dotted)
        return found
    return [] if old == new else [f"{prefix}: {old!r} there, {new!r} now"]
