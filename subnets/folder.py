"""A network as a folder: `arch.yaml`, `model.safetensors`, `meta.json`; never pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from supernet.errors import InputError
from supernet.files import new_folder

from .any_arch import load_arch
from .any_network import AnyNetwork
from .any_network import empty_network
from .meta import Meta
from .meta import read_meta
from .meta import write_meta
from .state import read_safetensors
from .state import require_match

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
