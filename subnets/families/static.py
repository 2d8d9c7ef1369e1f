"""The description of a comparison network: its family, its input and the family's own numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from supernet.arch import Arch
from supernet.errors import LARGEST_SIZE, InputError, check_keys, check_schema, positive_ints, shown
from supernet.names import require_conf
from supernet.pose.skeletons import Skeleton
from supernet.runs.files import read_yaml, write_yaml

from ..meta import default_skeleton
from .units import ConvUnit, UnitOptions

S = TypeVar("S")


# Of LitePose networks, whose coarsest maps are at 1/16.
STEP = 16
LARGEST_SIDE = 4096


def step_of(arch: Arch | StaticArch) -> int:
    """What both sides of the input of `arch` are multiples of."""
    from .registry import family_of

    return family_of(arch).step_of(arch) if isinstance(arch, StaticArch) else STEP


def check_input_shape(shape: Sequence[int], step: int = STEP) -> tuple[int, int]:
    """`shape` (height, width) if it is a multiple of `step` on both sides.

    Raises:
        InputError: it is not, or it is larger than 4096 on a side.
    """
    if len(shape) != 2 or any(not 0 < side <= LARGEST_SIDE or side % step for side in shape):
        raise InputError(
            f"input_shape={list(shape)} must be two multiples of {step} up to {LARGEST_SIDE}: height, width"
        )
    return shape[0], shape[1]


def read_settings(kind: type[S], value: Mapping[str, Any]) -> S:
    """`value` as the dataclass `kind`, whose fields are integers, numbers or (nested) tuples of integers.

    Raises:
        InputError: a key is missing or unknown, or a value is of another type or out of range.
    """
    known = fields(kind)  # type: ignore[arg-type]
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    check_keys(value, required, [f.name for f in known], "settings")
    read = {f.name: _read(value[f.name], str(f.type), f"settings {f.name}") for f in known if f.name in value}
    return kind(**read)


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


def _read(value: Any, kind: str, what: str) -> Any:
    if kind.startswith("tuple["):
        if not isinstance(value, list | tuple):
            raise InputError(f"{what}: expected a list, found {shown(value)}")
        inner = kind.removeprefix("tuple[").removesuffix(", ...]")
        return tuple(_read(item, inner, what) for item in value)
    return _number(value, kind, what)


def _number(value: Any, kind: str, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float if kind == "float" else int):
        raise InputError(
            f"{what}: expected {'a number' if kind == 'float' else 'integers'}, found {shown(value)}"
        )
    if not 0 <= value <= LARGEST_SIZE:
        raise InputError(f"{what}: {value} is not between 0 and {LARGEST_SIZE}")
    return value


SCHEMA = 1
GROUP = "baselines"


@dataclass(frozen=True)
class StaticArch:
    """A comparison network: immutable, hashable, read and written as YAML like `supernet.Arch`.

    Attributes:
        family: the name of its wiring in `subnets.families.registry`.
        input_shape: (height, width) in pixels that it is made for.
        settings: the family's numbers (widths, depths, ...), as plain values.
    """

    family: str
    input_shape: tuple[int, int]
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def resolution(self) -> int:
        """The short side of its input in pixels."""
        return min(self.input_shape)

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> StaticArch:
        """Read a description: a name in `conf/baselines/` (`higherhrnet-w32`), a YAML file, or a folder.

        Raises:
            InputError: no such name or file, or the file describes no comparison network.
        """
        path = require_conf(GROUP, source, "comparison network")
        path = path / "arch.yaml" if path.is_dir() else path
        try:
            return cls.from_dict(read_yaml(path, "comparison network"))
        except InputError as error:
            raise InputError(f"comparison network {path}: {error}") from None

    @classmethod
    def from_dict(cls, value: Any) -> StaticArch:
        """Build one from its plain form; the settings are checked when the network is built.

        Raises:
            InputError: a key is missing, unknown or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"expected a mapping, found {type(value).__name__}")
        check_keys(value, required=("family", "input_shape", "settings"), optional=("schema", "about"))
        check_schema(value, SCHEMA)
        shape = positive_ints(value["input_shape"], "input_shape")
        if len(shape) != 2:
            raise InputError(f"input_shape: expected [height, width], found {list(shape)}")
        if not isinstance(value["family"], str) or not isinstance(value["settings"], Mapping):
            raise InputError("family is a name and settings a mapping")
        return cls(value["family"], (shape[0], shape[1]), dict(value["settings"]))

    def to_dict(self) -> dict[str, Any]:
        """Our plain form: what `save` writes and `from_dict` reads."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "input_shape": list(self.input_shape),
            "settings": dict(self.settings),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write our YAML form to `path` atomically."""
        write_yaml(Path(path), self.to_dict())


class StaticNetwork(nn.Module):
    """A network that is described by a `StaticArch`; families derive from it.

    Args:
        arch: the description.
        num_joints: J.
        fused: whether the batch norms are folded into the convolutions.

    Attributes:
        arch, num_joints, fused: as given.
        skeleton: the joint layout of the outputs, if known.
        about: facts that travel with the network.
        outputs: what `forward` gives: `embedding` ((B, 2J, H/4, W/4) heatmaps and tags and (B, J, H/2, W/2)
            heatmaps, as a LitePose network), `heatmaps` ((B, J, H/4, W/4)), or `fields` (heatmaps and part
            affinity fields at 1/8).
        layout: the joint layout that the family is bound to, if it is.
    """

    outputs: ClassVar[str] = "embedding"
    layout: ClassVar[str | None] = None

    @classmethod
    def step_of(cls, arch: StaticArch) -> int:
        """What input sides of the network of `arch` are multiples of.

        Raises:
            InputError: its settings make no network.
        """
        return 32

    def __init__(self, arch: StaticArch, num_joints: int = 14, fused: bool = False) -> None:
        super().__init__()
        self.arch = arch
        self.num_joints = num_joints
        self.fused = fused
        self.skeleton: Skeleton | None = default_skeleton(num_joints)
        self.about: dict[str, Any] = {}
        self.options = UnitOptions(fused=fused)
        check_input_shape(arch.input_shape, self.step_of(arch))


def fold_network(net: StaticNetwork) -> StaticNetwork:
    """A copy of `net` in evaluation mode whose batch norms are folded into the convolutions.

    Raises:
        InputError: `net` is fused already.
    """
    if net.fused:
        raise InputError("the network is fused already; fuse the one with batch norms")
    net = net.eval()
    tensors: dict[str, Tensor] = dict(net.state_dict())
    for name, unit in net.named_modules():
        if isinstance(unit, ConvUnit):
            for key in [key for key in tensors if key.startswith(f"{name}.")]:
                del tensors[key]
            tensors |= {f"{name}.conv.{key}": value for key, value in unit.folded().items()}
    with torch.device("meta"):
        fused = type(net)(net.arch, net.num_joints, fused=True)
    fused.load_state_dict(tensors, assign=True)
    fused.skeleton, fused.about = net.skeleton, dict(net.about)
    return fused.eval()
