"""Descriptions of all the networks that commands take: LitePose architectures and comparison networks."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeAlias

from supernet.arch import Arch
from supernet.cost import Convention
from supernet.cost import check_convention
from supernet.cost import count_macs
from supernet.cost import count_params
from supernet.errors import InputError
from supernet.files import read_yaml
from supernet.names import conf_names
from supernet.names import find_conf

from .baselines.arch import GROUP
from .baselines.arch import StaticArch

if TYPE_CHECKING:
    from .module_cost import ModuleCost

AnyArch: TypeAlias = Arch | StaticArch
# Folders of conf/ in which a name is looked up, in this order.
GROUPS = ("zoo", GROUP, "ablations")


def load_arch(source: str | os.PathLike[str]) -> AnyArch:
    """What a name that ships (zoo, comparison network, network of an ablation), a file or a folder describes.

    Raises:
        InputError: no such name or file, or it describes no network.
    """
    path = next((found for group in GROUPS if (found := find_conf(group, source)) is not None), None)
    if path is None:
        known = ", ".join(name for group in GROUPS for name in conf_names(group))
        raise InputError(
            f"architecture {os.fspath(source)!r} is neither a file nor a name that ships ({known})"
        )
    file = path / "arch.yaml" if path.is_dir() else path
    if file.suffix in (".yaml", ".yml") and file.is_file():
        value = read_yaml(file, "architecture")
        if isinstance(value, dict) and "family" in value:
            return StaticArch.load(file)
    return Arch.load(path)


def arch_from_dict(value: Any) -> AnyArch:
    """The plain form of either kind, as an ONNX file keeps it.

    Raises:
        InputError: it is neither.
    """
    is_static = isinstance(value, dict) and "family" in value
    return StaticArch.from_dict(value) if is_static else Arch.from_dict(value)


def input_shape_of(arch: AnyArch) -> tuple[int, int]:
    """(height, width) of the input that costs and latencies are for: a LitePose network's square."""
    return arch.input_shape if isinstance(arch, StaticArch) else (arch.resolution, arch.resolution)


def macs_of(
    arch: AnyArch,
    num_joints: int = 14,
    convention: str = "exact",
    input_shape: tuple[int, int] | None = None,
) -> int:
    """MACs of one image, as `supernet.cost.count_macs`, of either kind.

    Raises:
        InputError: unknown convention, or an input shape that the network cannot take.
    """
    if isinstance(arch, Arch):
        return count_macs(arch, num_joints, convention, input_shape)
    checked: Convention = check_convention(convention)
    return _static_cost(arch, num_joints, input_shape or arch.input_shape).macs(checked)


def params_of(arch: AnyArch, num_joints: int = 14) -> int:
    """Trainable parameters of either kind."""
    if isinstance(arch, Arch):
        return count_params(arch, num_joints)
    return _static_cost(arch, num_joints, arch.input_shape).params


@lru_cache(maxsize=64)
def _static_cost(arch: StaticArch, num_joints: int, input_shape: tuple[int, int]) -> ModuleCost:
    import torch

    from .baselines.families import family_of
    from .input_shape import check_input_shape
    from .module_cost import module_cost

    family = family_of(arch)
    check_input_shape(input_shape, family.step_of(arch))
    with torch.device("meta"):
        return module_cost(family(arch, num_joints), input_shape)
