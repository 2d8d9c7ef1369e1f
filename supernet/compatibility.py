"""Whether a checkpoint fits a network, and what differs if not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch import nn

from . import __version__
from .errors import InputError
from .space import SearchSpace

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
    differences = about_differences(meta, about) or tensor_differences(weights, mine)
    if differences:
        more = f" and {len(differences) - _SHOWN} more" if len(differences) > _SHOWN else ""
        versions = f"written by version {meta.get('version')}, this is {__version__}"
        raise InputError(
            f"checkpoint {path} does not fit: {'; '.join(differences[:_SHOWN])}{more} ({versions})"
        )
    for name, parameter in mine.items():
        parameter.data.copy_(weights[name])


def about_differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """In what two descriptions of networks differ, in words."""
    found: list[str] = []
    for key, value in here.items():
        if key not in there:
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
