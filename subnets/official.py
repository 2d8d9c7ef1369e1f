"""Released LitePose weights into our networks, and back."""

from __future__ import annotations

import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from supernet.errors import InputError, shown
from supernet.family import Architecture, family_of, layers, load_arch
from supernet.pose.grouping import REFERENCE_MATCHING
from supernet.pose.skeletons import Skeleton
from supernet.runs.reading import check_unpacked

from .folder import read_safetensors, require_match, save
from .network import Subnet

NORM_TENSORS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def official_names(arch: Architecture, num_joints: int) -> dict[str, str]:
    """For every tensor of our static network of `arch` its name in the released one."""
    names: dict[str, str] = {}
    for layer in layers(arch, num_joints):
        conv, norm = family_of(arch).released_name(layer)
        if layer.kind != "norm":
            names[f"{layer.name}.conv.weight"] = f"{conv}.weight"
        if layer.norm:
            names |= {f"{layer.name}.norm.{tensor}": f"{norm}.{tensor}" for tensor in NORM_TENSORS}
    return names


# The joint layouts that weights were released for.
RELEASED_FOR = ("crowdpose", "coco")
# Set by nn.DataParallel and DistributedDataParallel.
_PREFIX = "module."
_DTYPES = (
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
)
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_COUNTER = "num_batches_tracked"
# The released training code keeps the best score as a numpy number in its checkpoints; rebuilding one runs
# no code.
_SCALAR: Any = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    *((_SCALAR, f"numpy.{module}.multiarray.scalar") for module in ("core", "_core")),
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("float16", "float32", "float64", "int64")},
]


def import_weights(sub: Subnet, weights: Mapping[str, Any] | str | os.PathLike[str]) -> None:
    """Load released LitePose weights into `sub` in place; if anything does not fit, `sub` stays as it was.

    Its peaks are matched to people by the reference's rule from then on (`about["matching"]`).

    Args:
        sub: a network with batch norms, of the architecture and joint count that the weights are for.
        weights: a state dict or the path of a `.pth.tar`, `.pth` or `.safetensors` file, read without
            running code. Keys may carry the prefix `module.`, the state dict may be wrapped in a
            `state_dict` key, and values may be in half precision. `num_batches_tracked` may be absent.

    Raises:
        InputError: the file is missing or damaged or holds something else, or names, shapes or values do not
            fit.
    """
    if sub.fused:
        raise InputError("released weights have batch norms; import them before fusing the network")
    if isinstance(weights, Mapping):
        what, tensors = "weights", tensors_of(weights, "weights")
    else:
        what = f"weights {os.fspath(weights)}"
        tensors = read_official(weights)
    wanted = export_weights(sub)
    present = {name: wanted[name] for name in wanted if name in tensors or not name.endswith(_COUNTER)}
    require_match(tensors, present, what)
    for name, target in present.items():
        # What float32 makes of them counts: a double can be too large for it.
        values = tensors[name].to(target.dtype)
        if not torch.isfinite(values).all():
            raise InputError(f"{what}: {name} holds values that are not finite; the file is damaged")
        if name.endswith("running_var") and (values < 0).any():
            raise InputError(f"{what}: {name} holds a negative variance; the file is damaged")
    with torch.no_grad():
        for name, target in present.items():
            target.copy_(tensors[name])
    sub.about["matching"] = REFERENCE_MATCHING


def export_weights(sub: Subnet) -> dict[str, Tensor]:
    """The tensors of `sub` under their released names; they share memory with the network's.

    Raises:
        InputError: the network is fused; the released one has batch norms.
    """
    if sub.fused:
        raise InputError("the network is fused; the released form has batch norms")
    state = sub.state_dict()
    return {official: state[ours] for ours, official in official_names(sub.arch, sub.num_joints).items()}


def convert(
    arch: Architecture | str | os.PathLike[str],
    weights: Mapping[str, Any] | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    num_joints: int = 14,
) -> Subnet:
    """Write released weights as a new folder of our form, which `subnets.load` reads.

    Args:
        arch: an architecture, a name in the zoo, or a path to our or to the official form.
        weights: as for `import_weights`.
        folder: the folder to make.
        num_joints: 14 for CrowdPose, 17 for COCO.

    Returns:
        the network, in evaluation mode.

    Raises:
        InputError: something is missing, damaged or does not fit, or the folder exists already.
    """
    sub = Subnet(arch if isinstance(arch, Architecture) else load_arch(arch), num_joints)
    import_weights(sub, weights)
    if not isinstance(arch, Architecture):
        sub.about["arch"] = os.fspath(arch)
    if not isinstance(weights, Mapping):
        sub.about["weights"] = Path(weights).name
    sub.about["source"] = "released LitePose weights"
    released = [Skeleton.load(name) for name in RELEASED_FOR]
    sub.skeleton = next((one for one in released if one.num_joints == num_joints), None)
    save(sub, folder)
    return sub.eval()


def read_official(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The plain state dict in a checkpoint file, read without running code.

    Raises:
        InputError: the file is missing, damaged, would run code, or holds no state dict.
    """
    file = Path(path)
    what = f"weights {file}"
    if file.suffix == ".safetensors":
        return tensors_of(read_safetensors(file), what)
    if not file.is_file():
        raise InputError(f"{what} do not exist; check the path")
    check_members(file, what)
    try:
        # Warnings are about damage or age of the file, and come as an error below where they matter.
        with warnings.catch_warnings(), torch.serialization.safe_globals(_HARMLESS):
            warnings.simplefilter("ignore")
            value = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way that Python knows
        blocked = re.search(r"GLOBAL (\S+)", str(error))
        if blocked:
            raise InputError(
                f"{what} cannot be read without running code (they hold a {blocked[1]}); "
                "save the state dict alone, where you trust the file"
            ) from None
        # torch adds advice to read the file anyway, which is not ours to give.
        said = str(error).split("WeightsUnpickler error:")[-1].split("Check the documentation")[0]
        reason = " ".join(_ESCAPES.sub("", said).split())[:200] or type(error).__name__
        raise InputError(f"{what} cannot be read without running code, or are damaged: {reason}") from None
    return tensors_of(value, what)


def check_members(file: Path, what: str) -> None:
    """Compare a .pth with the checksums of its parts, which torch leaves unread.

    Raises:
        InputError: they differ. A file in the form that torch wrote before 1.6 has none.
    """
    with file.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            return
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                check_unpacked(member.compress_size, member.file_size, what)
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{what} are damaged: {error}; fetch or save them again") from None
    if damaged:
        raise InputError(
            f"{what} are damaged: {shown(damaged)} has another checksum now; fetch or save them again"
        )


def tensors_of(value: Any, what: str) -> dict[str, Tensor]:
    """The state dict in a checkpoint's content: unwrapped from `state_dict`, without the prefix `module.`.

    Raises:
        InputError: `value` is something else.
    """
    if isinstance(value, Mapping) and isinstance(value.get("state_dict"), Mapping):
        value = value["state_dict"]
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{what}: expected a mapping of names to tensors, found {shown(value)}")
    for name, tensor in value.items():
        if not isinstance(name, str):
            raise InputError(f"{what}: expected names of tensors, found {shown(name)}")
        if not _is_plain(tensor):
            raise InputError(f"{what}: {shown(name)} is no plain tensor")
    if all(name.startswith(_PREFIX) for name in value):
        value = {name.removeprefix(_PREFIX): tensor for name, tensor in value.items()}
    return dict(value)


def _is_plain(value: Any) -> bool:
    """Whether `value` is a dense tensor of real numbers that is held in memory."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    return not (value.is_quantized or value.is_meta) and value.dtype in _DTYPES
