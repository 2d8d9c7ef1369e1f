"""The file of one checkpoint: tensors and a JSON description in one safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from .errors import InputError
from .files import write_bytes

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
    write_bytes(path, to_bytes(tensors, {"checkpoint": text}))


def read_snapshot(path: str | os.PathLike[str]) -> Snapshot:
    """Read a checkpoint; nothing in the file is run.

    Raises:
        InputError: the file is missing, truncated, no checkpoint, or of an unknown schema.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"checkpoint {file} does not exist; check the path")
    try:
        with safe_open(file, "pt") as opened:
            meta = json.loads((opened.metadata() or {})["checkpoint"])
            tensors: dict[str, Tensor] = {
                name: torch.clone(opened.get_tensor(name)) for name in list(opened.keys())
            }
    except KeyError:
        raise InputError(f"{file} is not a training checkpoint (it has no description)") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"checkpoint {file} cannot be read ({error}); if it is damaged, remove it to go on from an "
            "older one"
        ) from None
    if meta.get("kind") != KIND:
        raise InputError(f"{file} is not a training checkpoint")
    if meta.get("schema") != SCHEMA:
        raise InputError(
            f"checkpoint {file} has schema {meta.get('schema')}, written by version {meta.get('version')}; "
            f"this version reads schema {SCHEMA}: use the version that wrote it, or start a new run"
        )
    return Snapshot(tensors, meta)
