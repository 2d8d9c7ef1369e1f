"""What families of plain torch modules share: description, costs by counting, initial weights, folding."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from supernet.cost import check_input_shape
from supernet.errors import InputError, check_keys, check_schema, positive_ints, read_fields, shown
from supernet.family import (
    SCHEMA,
    Architecture,
    Family,
    NetworkCost,
    family_of,
    load_arch,
    step_of,
)

from ..network import Network
from .units import ConvUnit, StartsSmall, UnitOptions

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
# `litepose` counts one per output element of these; SiLU and sigmoid it does not know.
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.ELU)


@dataclass(frozen=True)
class StaticArch(Architecture):
    """The description of a network of a module family, such as the papers compare with.

    Attributes:
        family: name of the family.
        input_shape: (height, width) in pixels that it is made for.
        settings: the family's numbers (widths, depths, ...), as plain values.
    """

    family: str
    input_shape: tuple[int, int] = field()
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def resolution(self) -> int:
        """The short side of its input in pixels."""
        return min(self.input_shape)

    @property
    def head_kind(self) -> str:
        """The one head of its family."""
        return family_of(self).heads[0]

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> StaticArch:
        """Read a description: a name that ships (`higherhrnet-w32`), a YAML file, or a folder.

        Raises:
            InputError: no such name or file, or the file describes another kind of network.
        """
        arch = load_arch(source)
        if not isinstance(arch, cls):
            raise InputError(f"architecture {os.fspath(source)} is of family {arch.family}")
        return arch

    @classmethod
    def from_dict(cls, value: Any) -> StaticArch:
        """Build one from its plain form; the settings are checked when the network is built.

        Raises:
            InputError: a key is missing, unknown or of the wrong type.
        """
        check_keys(value, required=("family", "input_shape", "settings"), optional=("schema", "about"))
        check_schema(value, SCHEMA)
        shape = positive_ints(value["input_shape"], "input_shape")
        if len(shape) != 2:
            raise InputError(f"input_shape: expected [height, width], found {list(shape)}")
        if not isinstance(value["family"], str) or not isinstance(value["settings"], Mapping):
            raise InputError("family is a name and settings a mapping")
        return cls(value["family"], (shape[0], shape[1]), dict(value["settings"]))

    def to_dict(self) -> dict[str, Any]:
        """The plain form: what `save` writes and `from_dict` reads."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "input_shape": list(self.input_shape),
            "settings": dict(self.settings),
        }


class StaticNetwork(Network):
    """A network that is described by a `StaticArch`, made of `ConvUnit`s; families derive from it.

    Attributes:
        settings: what the settings of the description are read as, a dataclass (see `read_fields`).
    """

    settings: ClassVar[type[Any]]

    def __init__(self, arch: StaticArch, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__(arch, num_joints, fused)
        self.options = UnitOptions(fused=fused)
        check_input_shape(arch.input_shape, step_of(arch))

    def initialise(self, generator: torch.Generator) -> None:
        """He normal by fan-in with an activation, else unit gain; residual branches start small."""
        for module in self.modules():
            if isinstance(module, ConvUnit):
                _initialise(module, generator)
        for module in self.modules():
            if isinstance(module, StartsSmall):
                module.start_small()

    def fold_into(self, fused: Network) -> None:
        """Every norm goes into the convolution before it."""
        tensors: dict[str, Tensor] = dict(self.state_dict())
        for name, unit in self.named_modules():
            if isinstance(unit, ConvUnit):
                for key in [key for key in tensors if key.startswith(f"{name}.")]:
                    del tensors[key]
                tensors |= {f"{name}.conv.{key}": value for key, value in unit.folded().items()}
        fused.load_state_dict(tensors)


def _initialise(unit: ConvUnit, generator: torch.Generator) -> None:
    conv = unit.conv
    inputs = conv.in_channels // conv.groups * conv.kernel_size[0] ** 2
    if isinstance(conv, nn.ConvTranspose2d):
        inputs //= conv.stride[0] ** 2
    gain = 2.0 if unit.act is not None else 1.0
    with torch.no_grad():
        conv.weight.normal_(0.0, math.sqrt(gain / inputs), generator=generator)
        if conv.bias is not None:
            conv.bias.zero_()


class ModuleFamily(Family):
    """A family whose static network is a class of its own; costs are counted while it runs on no data.

    Attributes:
        heads: one at least; a network carries the first.
        network: its class, which takes (arch, num_joints, fused).
    """

    network: type[StaticNetwork]

    def check(self) -> None:
        """See `Family`."""
        for owner, name in ((self, "heads"), (self, "network"), (self.network, "settings")):
            if not getattr(owner, name, None):
                raise InputError(f"{name} is missing, which a ModuleFamily (or its network) needs")

    def read(self, value: Mapping[str, Any]) -> StaticArch:
        """See `Family`."""
        return StaticArch.from_dict(value)

    def settings(self, arch: Any) -> Any:
        """The settings of `arch`, read and checked.

        Raises:
            InputError: they make no network.
        """
        return read_fields(self.network.settings, arch.settings, "settings")

    def step(self, arch: Architecture) -> int:
        """Of maps down to 1/32."""
        return 32

    def cost(self, arch: Architecture, num_joints: int, height: int, width: int) -> NetworkCost:
        """See `Family`."""
        with torch.device("meta"):
            return module_cost(self.network(arch, num_joints), (height, width))  # type: ignore[arg-type]


def module_cost(net: nn.Module, input_shape: tuple[int, int]) -> NetworkCost:
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
    return NetworkCost(params, counts["exact"], counts["litepose"])


def require_at_least(least: int, **settings: float | Sequence[float]) -> None:
    """Raise InputError unless each of `settings`, a number or several, is `least` or more."""
    for name, value in settings.items():
        if min([value] if isinstance(value, int | float) else value, default=least) < least:
            raise InputError(f"settings {name}: {shown(value)} must be {least} or more")


def require_count(count: int, **settings: Sequence[Any]) -> None:
    """Raise InputError unless each of `settings` has `count` entries."""
    for name, value in settings.items():
        if len(value) != count:
            raise InputError(f"settings {name}: expected {count} numbers, found {len(value)}")
