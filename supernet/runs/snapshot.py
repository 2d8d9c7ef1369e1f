"""Checkpoints as files: written with a digest, read without running code, compared with the network."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from .. import __version__
from ..errors import InputError
from ..space import SearchSpace
from .files import write_bytes
from .reading import check_tensors, one_key_once

_SHOWN = 3


def load_weights(
    net: nn.Module,
    about: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    path: Path,
) -> None:
    """Copy `weights` into the parameters of `net`.

    Args:
        net: the network.
        about: what it is, in the terms of a checkpoint's description (space or arch, num_joints).
        weights: by parameter name.
        meta: the checkpoint's description.
        path: the checkpoint's file, for the message.

    Raises:
        InputError: they are of another space, architecture, joint count or version; the line says what
            differs.
    """
    mine = dict(net.named_parameters())
    require_fit(about_differences(meta, about), weights, mine, meta, path)
    for name, parameter in mine.items():
        parameter.data.copy_(weights[name])


def require_fit(
    differences: list[str],
    weights: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    path: Path,
) -> None:
    """Raise InputError if there are `differences`, or in names or shapes of the tensors."""
    differences = differences or tensor_differences(weights, wanted)
    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        versions = f"written by version {meta.get('version')}, this is {__version__}"
        raise InputError(
            f"checkpoint {path} does not fit: {'; '.join(differences[:_SHOWN])}{more} ({versions})"
        )


def about_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """In what two descriptions of networks differ, in words."""
    found: list[str] = []
    for key, value in here.items():
        if key == "skeleton":
            # Checkpoints of older versions do not say it.
            names = [list(one["joints"]) if one else None for one in (there.get(key), value)]
            if None not in names and names[0] != names[1]:
                found.append(f"its joints are {names[0]} there, {names[1]} here")
        elif key not in there:
            found.append(f"it holds no {key}")
        elif key == "space":
            found += space_differences(SearchSpace.from_dict(there[key]), SearchSpace.from_dict(value))
        elif there[key] != value:
            found.append(f"{key} is {there[key]} there, {value} here")
    return found


def space_differences(there: SearchSpace, here: SearchSpace) -> list[str]:
    """The choices in which two spaces differ, in words; their names do not matter."""
    mine, theirs = ({gene.name: list(gene.choices) for gene in space.genes} for space in (here, there))
    names = [*theirs, *(name for name in mine if name not in theirs)]
    return [
        f"{name} is {theirs.get(name, 'absent')} there, {mine.get(name, 'absent')} here"
        for name in names
        if theirs.get(name) != mine.get(name)
    ]


def tensor_differences(there: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> list[str]:
    """Names and shapes in which two sets of tensors differ, in words."""
    found = [f"tensor {name} is missing" for name in here if name not in there]
    found += [f"tensor {name} is not known here" for name in there if name not in here]
    for name in (name for name in here if name in there):
        if there[name].shape != here[name].shape:
            found.append(f"tensor {name} is {list(there[name].shape)} there, {list(here[name].shape)} here")
    return found


SCHEMA = 1
KIND = "litepose-ofa training checkpoint"


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds.

    Attributes:
        tensors: by name; the part before the first dot says whose (model, ema, optimizer).
        meta: values that JSON can hold.
    """

    tensors: Mapping[str, Tensor]
    meta: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names start with `name.`, without that prefix."""
        return {
            key[len(name) + 1 :]: value for key, value in self.tensors.items() if key.startswith(f"{name}.")
        }


def write_snapshot(path: str | os.PathLike[str], snapshot: Snapshot) -> None:
    """Write `snapshot` to `path` atomically.

    Raises:
        OSError: it could not be written; what was at `path` is still there.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in snapshot.tensors.items()}
    text = json.dumps({"kind": KIND, "schema": SCHEMA, **snapshot.meta})
    write_bytes(path, to_bytes(tensors, {"checkpoint": text, "digest": digest_of(tensors, text)}))


def read_snapshot(path: str | os.PathLike[str]) -> Snapshot:
    """Read a checkpoint; nothing in the file is run.

    Raises:
        InputError: the file is missing, truncated, no checkpoint, or of an unknown schema.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"checkpoint {file} does not exist; check the path")
    try:
        check_tensors(file)
        with safe_open(file, "pt") as opened:
            about = opened.metadata() or {}
            meta = json.loads(about["checkpoint"], object_pairs_hook=one_key_once)
            tensors: dict[str, Tensor] = {
                name: torch.clone(opened.get_tensor(name)) for name in list(opened.keys())
            }
    except KeyError:
        raise InputError(f"{file} is not a training checkpoint (it has no description)") from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"checkpoint {file} cannot be read ({error}); if it is damaged, remove it to go on from an "
            "older one"
        ) from None
    if not isinstance(meta, dict) or meta.get("kind") != KIND:
        raise InputError(f"{file} is not a training checkpoint")
    if meta.get("schema") != SCHEMA:
        raise InputError(
            f"checkpoint {file} has schema {meta.get('schema')}, written by version {meta.get('version')}; "
            f"this version reads schema {SCHEMA}: use the version that wrote it, or start a new run"
        )
    # Older versions kept one of the tensors alone, or none.
    known, covered = (about["digest"], about["checkpoint"]) if "digest" in about else (meta.get("digest"), "")
    if known not in (None, digest_of(tensors, covered)):
        raise InputError(
            f"checkpoint {file} is damaged: what it holds is not what was written; remove it to go on from "
            "an older one"
        )
    return Snapshot(tensors, meta)


def digest_of(tensors: Mapping[str, Tensor], text: str) -> str:
    """A digest over names, kinds, shapes and bytes of tensors, and over their description."""
    digest = hashlib.blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        # As bytes whatever the kind: numpy knows no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
