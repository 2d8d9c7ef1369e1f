"""Descriptions of all the networks that commands take: LitePose architectures and comparison networks."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from supernet.arch import Arch
from supernet.cost import Convention, check_convention, count_macs, count_params
from supernet.errors import InputError
from supernet.names import conf_names, find_conf
from supernet.runs.files import read_yaml

from .static import GROUP, StaticArch, check_input_shape

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# `litepose` counts one per output element of these; SiLU and sigmoid it does not know.
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.ELU)


@dataclass(frozen=True)
class ModuleCost:
    """What one image costs.

    Attributes:
        params: trainable parameters.
        exact: multiply-accumulates of convolutions, transposed convolutions and linear layers.
        litepose: by the LitePose paper's counting.
    """

    params: int
    exact: int
    litepose: int

    def macs(self, convention: Convention) -> int:
        """MACs by name of the convention."""
        return self.exact if convention == "exact" else self.litepose


def module_cost(net: nn.Module, input_shape: tuple[int, int]) -> ModuleCost:
    """The cost of `net` for one image of `input_shape` (height, width); `net` is left as it is."""
    params = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
    counts = {"exact": 0, "litepose": 0}

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Any) -> None:
        if isinstance(module, nn.Linear):
            counts["exact"] += module.in_features * output.numel()
            counts["litepose"] += module.in_features * output.numel()
        elif isinstance(module, CONVOLUTIONS):
            per_output = module.weight[0].numel()
            if isinstance(module, nn.ConvTranspose2d):
                # A transposed convolution multiplies each INPUT element by its whole kernel.
                counts["exact"] += per_output * inputs[0].numel()
                per_output = module.in_channels // module.groups * module.weight[0, 0].numel()
            else:
                counts["exact"] += per_output * output.numel()
            counts["litepose"] += per_output * output.numel()
        elif isinstance(module, nn.BatchNorm2d):
            counts["litepose"] += 2 * output.numel()
        elif isinstance(module, ACTIVATIONS):
            counts["litepose"] += output.numel()

    shadow = copy.deepcopy(net).to("meta").eval()
    for module in shadow.modules():
        module.register_forward_hook(count)
    with torch.no_grad():
        shadow(torch.empty(1, 3, *input_shape, device="meta"))
    return ModuleCost(params, counts["exact"], counts["litepose"])


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

    from .registry import family_of

    family = family_of(arch)
    check_input_shape(input_shape, family.step_of(arch))
    with torch.device("meta"):
        return module_cost(family(arch, num_joints), input_shape)
