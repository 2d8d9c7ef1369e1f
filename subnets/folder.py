"""A network's folder: arch.yaml, model.safetensors and meta.json; what it says is read without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.errors import InputError, check_keys, check_schema, positive_int
from supernet.family import Architecture, load_arch
from supernet.heads.contract import HEADS
from supernet.pose.skeletons import Skeleton
from supernet.runs.files import new_folder, read_json, write_json
from supernet.runs.reading import check_tensors

if TYPE_CHECKING:
    from torch import Tensor

    from .network import Network

SCHEMA = 1
ARCH_FILE = "arch.yaml"
META_FILE = "meta.json"
WEIGHTS_FILE = "model.safetensors"
# Of each kind of mismatch; a wrong architecture gives hundreds.
LISTED = 12


@dataclass(frozen=True)
class Meta:
    """What a network's folder says.

    Attributes:
        num_joints: J.
        fused: whether the batch norms are folded into the convolutions.
        skeleton: the joint layout of the J heatmaps, if known.
        about: free values by name (source, scores, the command that made it).
        digest: of the weights (`subnets.network.weights_digest`); None in folders of older versions.
    """

    num_joints: int
    fused: bool = False
    skeleton: Skeleton | None = None
    about: dict[str, Any] = field(default_factory=dict)
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.skeleton is not None and self.skeleton.num_joints != self.num_joints:
            raise InputError(
                f"the network has {self.num_joints} joints, "
                f"skeleton {self.skeleton.name!r} has {self.skeleton.num_joints}"
            )


def write_meta(folder: str | os.PathLike[str], meta: Meta) -> None:
    """Write `meta.json` into `folder`.

    Raises:
        InputError: `about` holds something that JSON cannot.
    """
    value = {
        "schema": SCHEMA,
        "num_joints": meta.num_joints,
        "fused": meta.fused,
        "skeleton": None if meta.skeleton is None else meta.skeleton.to_dict(),
        "about": meta.about,
        "digest": meta.digest,
    }
    try:
        write_json(Path(folder) / META_FILE, value)
    except (TypeError, ValueError) as error:
        raise InputError(f"about: {error}; use texts, numbers, lists and mappings") from None


def read_meta(folder: str | os.PathLike[str]) -> Meta:
    """Read `meta.json` of `folder`.

    Raises:
        InputError: the file is missing or says something else.
    """
    path = Path(folder) / META_FILE
    value = read_json(path, "network description")
    try:
        return _from_dict(value)
    except InputError as error:
        raise InputError(f"network description {path}: {error}") from None


def _from_dict(value: Any) -> Meta:
    if not isinstance(value, Mapping):
        raise InputError(f"expected a mapping, found {type(value).__name__}")
    check_keys(value, required=("schema", "num_joints", "fused", "skeleton", "about"), optional=("digest",))
    check_schema(value, SCHEMA)
    if not isinstance(value["fused"], bool):
        raise InputError("fused: expected true or false")
    if not isinstance(value["about"], Mapping):
        raise InputError("about: expected a mapping")
    skeleton = value["skeleton"]
    return Meta(
        num_joints=positive_int(value["num_joints"], "num_joints"),
        fused=value["fused"],
        skeleton=None if skeleton is None else Skeleton.from_dict(skeleton),
        about=dict(value["about"]),
        digest=None if value.get("digest") is None else str(value["digest"]),
    )


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file.

    Raises:
        InputError: the file is missing or damaged.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(f"weights {file} do not exist; check the path")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        check_tensors(file)
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


def save(net: Network, folder: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> None:
    """Write `net` as a new folder, which appears whole or not at all.

    Args:
        net: the network, fused or not, in any floating-point type.
        folder: the folder to make; the folders above it are made as needed.
        about: values to add to `net.about` in the folder (source, scores, the command that made it).

    Raises:
        InputError: the folder exists already, or `about` holds something that JSON cannot.
    """
    with new_folder(folder) as temporary:
        write_into(net, temporary, about)


def write_into(net: Network, folder: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write the three files of `net` into an existing folder (for callers that add files of their own)."""
    from safetensors.torch import save as to_bytes

    from .network import weights_digest

    digest = weights_digest(net)
    meta = Meta(net.num_joints, net.fused, net.skeleton, {**net.about, **(about or {})}, digest)
    write_meta(folder, meta)
    net.arch.save(folder / ARCH_FILE)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    # Not `save_file`: its files are private whatever the umask, and its error on a full disk is no OSError.
    (folder / WEIGHTS_FILE).write_bytes(to_bytes(tensors, metadata={"format": "pt"}))


def load(folder: str | os.PathLike[str]) -> Network:
    """The network of a folder that `save` wrote: equal weights bit for bit, on the CPU, in evaluation mode.

    Raises:
        InputError: the folder or one of its files is missing, damaged, or does not fit the others.
    """
    import torch

    from .network import empty_network, weights_digest

    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"network folder {path} does not exist; check the path")
    meta = read_meta(path)
    arch = load_arch(path / ARCH_FILE)
    # Nothing is allocated or initialised before the weights are known to fit.
    with torch.device("meta"):
        net = empty_network(arch, meta.num_joints, meta.fused)
    tensors = read_safetensors(path / WEIGHTS_FILE)
    try:
        require_match(tensors, net.state_dict(), f"weights {path / WEIGHTS_FILE}")
    except InputError:
        if (head := _head_of(tensors, arch, meta)) is None:
            raise
        raise InputError(
            f"weights {path / WEIGHTS_FILE} are of a network with head_kind {head}; {ARCH_FILE} says "
            f"{arch.head_kind}"
        ) from None
    net.load_state_dict(tensors, assign=True)
    if meta.digest is not None and weights_digest(net) != meta.digest:
        raise InputError(
            f"weights {path / WEIGHTS_FILE} are not those that were saved; the file is damaged (where they "
            f"were replaced on purpose, remove digest from {META_FILE})"
        )
    net.skeleton, net.about = meta.skeleton, meta.about
    return net.eval()


def _head_of(tensors: Mapping[str, Tensor], arch: Architecture, meta: Meta) -> str | None:
    """The other head with which the network of `arch` has these tensors, if one has."""
    import torch

    from .network import empty_network

    if "head_kind" not in {field.name for field in fields(arch)}:
        return None
    for name in HEADS.names():
        with suppress(InputError), torch.device("meta"):
            changed: dict[str, Any] = {"head_kind": name}
            other = empty_network(replace(arch, **changed), meta.num_joints, meta.fused)
            require_match(tensors, other.state_dict(), "weights")
            return name
    return None
