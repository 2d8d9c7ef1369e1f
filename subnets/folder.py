"""Named tensors: read from a file without running code, and compared with what a network wants."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from supernet.errors import InputError
from supernet.runs.files import new_folder

from .families.descriptions import load_arch
from .families.networks import AnyNetwork, empty_network
from .meta import Meta, read_meta, write_meta

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


ARCH_FILE = "arch.yaml"
WEIGHTS_FILE = "model.safetensors"


def save(net: AnyNetwork, folder: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> None:
    """Write `net` as a new folder, which appears whole or not at all.

    Args:
        net: the network, fused or not, in any floating-point type.
        folder: the folder to make; the folders above it are made as needed.
        about: facts to add to `net.about` in the folder (source, scores, the command that made it).

    Raises:
        InputError: the folder exists already, or `about` holds something that JSON cannot.
    """
    with new_folder(folder) as temporary:
        write_into(net, temporary, about)


def write_into(net: AnyNetwork, folder: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write the three files of `net` into an existing folder (for callers that add files of their own)."""
    meta = Meta(net.num_joints, net.fused, net.skeleton, {**net.about, **(about or {})})
    write_meta(folder, meta)
    net.arch.save(folder / ARCH_FILE)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def load(folder: str | os.PathLike[str]) -> AnyNetwork:
    """The network of a folder that `save` wrote: equal weights bit for bit, on the CPU, in evaluation mode.

    Raises:
        InputError: the folder or one of its files is missing, damaged, or does not fit the others.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"network folder {path} does not exist; check the path")
    meta = read_meta(path)
    arch = load_arch(path / ARCH_FILE)
    # Nothing is allocated or initialised before the weights are known to fit.
    with torch.device("meta"):
        net = empty_network(arch, meta.num_joints, meta.fused)
    tensors = read_safetensors(path / WEIGHTS_FILE)
    require_match(tensors, net.state_dict(), f"weights {path / WEIGHTS_FILE}")
    net.load_state_dict(tensors, assign=True)
    net.skeleton, net.about = meta.skeleton, meta.about
    return net.eval()
