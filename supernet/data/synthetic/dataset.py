"""`data=synthetic`: multi-person scenes in CrowdPose's layout, rendered once and reused."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...runs.files import read_json, remove_litter, write_json
from ...runs.folders import in_turn
from ..images.decode import UInt8Image, decode_rgb
from ..plan import evenly
from .options import SPLITS, SyntheticOptions
from .scene import CATEGORY
from .worker import all_chunks, encoded, image_id, part_is_done, prepare, run_chunks, scene_at

MANIFEST = "synthetic.json"
SCHEMA = 1
_FOLDERS = ("images", "json", "parts")
RENDERER = 5  # raise it whenever equal options would give different pixels or labels
Progress = Callable[[int, int], None]
_LOG = logging.getLogger(__name__)


@functools.cache
def _say_reused(folder: Path) -> None:
    """Once for a folder and process, however many splits are opened."""
    _LOG.info("synthetic data in %s is complete and is reused", folder)


def ensure(
    root: str | os.PathLike[str], options: SyntheticOptions | None = None, progress: Progress | None = None
) -> Path:
    """Make sure that `root` holds the data set described by `options`, and return it as a path.

    Writes `images/{id}.jpg`, `json/crowdpose_{train,val,test}.json` and `synthetic.json` (the manifest:
    schema version and options). A complete set with the same options is reused, a half-written one is
    completed, and a log line says which. Safe to call from several processes at once.

    Args:
        progress: called with (images done, images in all) as chunks are finished.

    Raises:
        InputError: an option is out of range, `root` holds something else or a set with other options
            (which is left as it is), or the poses file cannot be used.
    """
    options = options or SyntheticOptions()
    folder = Path(root)
    current = state(folder, options)
    if current == "complete":
        _say_reused(folder)
        return folder
    prepare(options)  # before anything is written, so that a bad poses file leaves nothing behind
    try:
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"synthetic data folder {folder} cannot be made: {error.strerror}") from None
    with in_turn(folder):
        # Another process may have finished it while this one waited.
        if state(folder, options) != "complete":
            verb = "half-written, completing" if current == "partial" else "rendering"
            _LOG.info("synthetic data in %s: %s", folder, verb)
            _render(folder, options, progress)
    return folder


def spread(
    root: str | os.PathLike[str], options: SyntheticOptions, split: str, count: int
) -> list[UInt8Image] | None:
    """At most `count` images evenly spread over a `split` that is not there yet, as they would be read from
    it; nothing is written. None where the set is there, or the split is none of its own.

    Raises:
        InputError: as `ensure`.
    """
    if split not in SPLITS or state(root, options) == "complete":
        return None
    crowds = prepare(options)
    return [
        decode_rgb(encoded(scene_at(options, crowds, split, index), options), f"{split} image {index}")
        for index in evenly(options.count(split), count)
    ]


def state(root: str | os.PathLike[str], options: SyntheticOptions) -> str:
    """ "absent", "partial" or "complete": how much of the set is in `root`.

    Raises:
        InputError: `root` holds other files, or a set with other options.
    """
    folder = Path(root)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"synthetic data folder {folder} is a file; choose another data.root")
    manifest_path = folder / MANIFEST
    if not manifest_path.exists():
        if not folder.exists() or _is_blank(folder):
            return "absent"
        raise InputError(
            f"folder {folder} holds files that are no synthetic data set ({MANIFEST} is missing); "
            "choose another data.root"
        )
    manifest = read_json(manifest_path, "synthetic data manifest")
    _compare(folder, manifest, _manifest(options, complete=True))
    if not manifest.get("complete"):
        return "partial"
    have = {entry.name for entry in os.scandir(folder / "images")} if (folder / "images").is_dir() else set()
    want = {f"{image_id(s, i)}.jpg" for s in SPLITS for i in range(options.count(s))}
    whole = want <= have and all(_json_path(folder, s).is_file() for s in SPLITS)
    whole = whole and not (folder / "parts").exists()  # what goes last
    return "complete" if whole else "partial"


def _is_blank(folder: Path) -> bool:
    """Whether a folder holds nothing but what an ensure() killed at its very start leaves."""
    for entry in folder.iterdir():
        blank_folder = entry.is_dir() and entry.name in _FOLDERS and not any(entry.iterdir())
        if not blank_folder and not entry.name.startswith(f".{MANIFEST}."):
            return False
    return True


def _json_path(folder: Path, split: str) -> Path:
    return folder / "json" / f"crowdpose_{split}.json"


def _manifest(options: SyntheticOptions, complete: bool) -> dict[str, Any]:
    described = asdict(options)
    del described["workers"]
    if options.poses is not None:
        # The content counts, not where the file lies.
        described["poses"] = "sha256:" + _sha256(options.poses)
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in described.items()}
    return {"schema": SCHEMA, "renderer": RENDERER, "complete": complete, "options": plain}


def _sha256(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"poses file {path} cannot be read: {error.strerror}; check data.poses") from None


def _compare(folder: Path, found: Any, wanted: dict[str, Any]) -> None:
    if not isinstance(found, dict) or not isinstance(found.get("options"), dict):
        raise InputError(f"{folder / MANIFEST} is no synthetic data manifest; choose another data.root")
    for key in ("schema", "renderer"):
        if found.get(key) != wanted[key]:
            raise InputError(
                f"synthetic data in {folder} was made by {key} version {found.get(key)}, this is version "
                f"{wanted[key]}; choose another data.root or delete that folder"
            )
    for name, value in wanted["options"].items():
        other = found["options"].get(name)
        if other != value:
            raise InputError(
                f"synthetic data in {folder} was made with {name}={other}, not {name}={value}; "
                "choose another data.root or delete that folder"
            )


def _render(folder: Path, options: SyntheticOptions, progress: Progress | None) -> None:
    remove_litter(folder)
    write_json(folder / MANIFEST, _manifest(options, complete=False))
    (folder / "parts").mkdir(exist_ok=True)
    chunks = all_chunks(options)
    todo = [chunk for chunk in chunks if not part_is_done(folder, chunk)]
    total = sum(chunk.stop - chunk.start for chunk in chunks)
    done = total - sum(chunk.stop - chunk.start for chunk in todo)
    for chunk in run_chunks(folder, options, todo):
        done += chunk.stop - chunk.start
        if progress is not None:
            progress(done, total)
    for split in SPLITS:
        merged: dict[str, Any] = {"images": [], "annotations": [], "categories": [CATEGORY]}
        for chunk in chunks:
            if chunk.split == split:
                part = read_json(folder / "parts" / chunk.part)
                merged["images"] += part["images"]
                merged["annotations"] += part["annotations"]
        for number, annotation in enumerate(merged["annotations"]):
            annotation["id"] = image_id(split, number)
        write_json(_json_path(folder, split), merged, indent=None)
    write_json(folder / MANIFEST, _manifest(options, complete=True))
    shutil.rmtree(folder / "parts", ignore_errors=True)
