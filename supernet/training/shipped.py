"""The trained supernets that ship: found by name, and how a trained one becomes such a file.

A batch norm's statistics belong to one subnet, and a file has no images to find them with. So it keeps those
of a few subnets, which have names and run as they are; any other one is calibrated on images of the user's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..evaluation import calibrate
from ..family import Architecture, arch_from_dict, layers
from ..network import Supernet
from ..registry import conf_folder
from ..runs.snapshot import Snapshot

FOLDER = "supernets"
SUFFIX = ".safetensors"
STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True)
class Member:
    """A subnet whose batch-norm statistics a supernet's file keeps.

    Attributes:
        arch: its architecture.
        statistics: (C,) float32 by the name of the supernet's buffer; its first C channels.
        about: costs, scores.
    """

    arch: Architecture
    statistics: Mapping[str, Tensor]
    about: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, net: Supernet) -> None:
        """Set the batch-norm statistics of `net`, whose other channels become NaN: they are nobody's."""
        buffers = dict(net.named_buffers())
        for name, values in self.statistics.items():
            buffers[name].fill_(torch.nan)[: len(values)] = values


def shipped_folder() -> Path:
    """Where the supernets that ship are."""
    return conf_folder(FOLDER)


def shipped_names() -> list[str]:
    """The names of the supernets that ship, sorted."""
    return sorted(path.stem for path in shipped_folder().glob(f"*{SUFFIX}"))


def shipped_path(name: str) -> Path | None:
    """The file of the supernet that ships under this name."""
    return shipped_folder() / f"{name}{SUFFIX}" if name in shipped_names() else None


def pack(
    net: Supernet,
    archs: Mapping[str, Architecture],
    batches: Mapping[int, Iterable[Tensor]],
    about: Mapping[str, Any],
    subnets_about: Mapping[str, Mapping[str, Any]] | None = None,
) -> Snapshot:
    """The snapshot of a supernet to ship: weights in half precision, statistics of some subnets.

    The statistics are those of the rounded weights, which `net` has afterwards.

    Args:
        net: the supernet.
        archs: the subnets by name; the first is what the supernet's own name means.
        batches: normalised training images (B, 3, R, R) by resolution.
        about: its description, as of a checkpoint.
        subnets_about: what is to be known of each subnet.
    """
    tensors: dict[str, Tensor] = {}
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            tensors[f"model.{name}"] = parameter.half()
            parameter.copy_(parameter.half())
    for subnet, arch in archs.items():
        calibrate(net, arch, batches[arch.resolution])
        for name, values in _statistics_of(net, arch).items():
            tensors[f"subnet.{subnet}.{name}"] = values.clone()
    kept = [
        {
            "name": name,
            "arch": {"family": arch.family, **arch.to_dict()},
            "about": dict((subnets_about or {}).get(name, {})),
        }
        for name, arch in archs.items()
    ]
    return Snapshot(tensors, {**about, "subnets": kept})


def members(snapshot: Snapshot, net: Supernet) -> dict[str, Member]:
    """The subnets whose statistics a file keeps, by name; the first is meant where none is named.

    Raises:
        InputError: they do not fit `net`.
    """
    found = {}
    for entry in snapshot.meta.get("subnets") or []:
        try:
            name, arch = str(entry["name"]), arch_from_dict(entry["arch"])
            net.require(arch)
            statistics = snapshot.part(f"subnet.{name}")
            wanted = {key: value.shape for key, value in _statistics_of(net, arch).items()}
            if wanted != {key: value.shape for key, value in statistics.items()}:
                raise InputError(f"subnet {name}: its statistics are not those of its layers")
            found[name] = Member(arch, statistics, dict(entry.get("about") or {}))
        except (KeyError, TypeError, AttributeError, ValueError):
            raise InputError("subnets: expected mappings with name, arch, about") from None
    return found


def _statistics_of(net: Supernet, arch: Architecture) -> dict[str, Tensor]:
    """The batch-norm statistics that `arch` reads."""
    buffers = dict(net.named_buffers())
    normed = [layer for layer in layers(arch, net.num_joints) if layer.norm]
    names = [(f"{layer.name}.norm.{kind}", layer.out_channels) for layer in normed for kind in STATISTICS]
    return {name: buffers[name][:channels] for name, channels in names}
