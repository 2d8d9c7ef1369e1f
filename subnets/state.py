"""Named tensors: read from a file without running code, and compared with what a network wants."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from supernet.errors import InputError

# Of each kind of mismatch; a wrong architecture gives hundreds.
LISTED = 12


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file.

    Raises:
        InputError: the file is missing or damaged.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"weights {file} do not exist; check the path")
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"weights {file} are no valid safetensors ({error}); is it truncated?") from None


def require_match(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], what: str) -> None:
    """Raise InputError listing every difference in names, shapes and kinds (float, integer) of tensors.

    Args:
        found: what a file holds.
        wanted: what the network has under the same names.
        what: names the file in the message.
    """
    missing = [f"{name} {_shape(tensor)}" for name, tensor in wanted.items() if name not in found]
    unknown = [f"{name} {_shape(tensor)}" for name, tensor in found.items() if name not in wanted]
    both = [(name, tensor, wanted[name]) for name, tensor in found.items() if name in wanted]
    shapes = [
        f"{name} has {_shape(tensor)}, the network {_shape(other)}"
        for name, tensor, other in both
        if tensor.shape != other.shape
    ]
    kinds = [
        f"{name} is {tensor.dtype}, the network's {other.dtype}"
        for name, tensor, other in both
        if tensor.shape == other.shape and tensor.is_floating_point() != other.is_floating_point()
    ]
    groups = {"missing": missing, "not in the network": unknown, "wrong shape": shapes, "wrong type": kinds}
    parts = [f"{title}: {_listed(lines)}" for title, lines in groups.items() if lines]
    if parts:
        raise InputError(f"{what} do not fit the network; {'; '.join(parts)}")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listed(lines: list[str]) -> str:
    more = f" and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
    return ", ".join(lines[:LISTED]) + more
