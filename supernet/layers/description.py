"""What networks are described by: their layers, and what refines a map before the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, TypeVar

from ..errors import InputError, as_lists, read_fields, shown
from ..registry import Registry

Activation = Literal["relu6", "relu"]
Convention = Literal["exact", "litepose"]
CONVENTIONS: tuple[Convention, ...] = ("exact", "litepose")
T = TypeVar("T")


@dataclass(frozen=True)
class Layer:
    """One convolution with its batch norm and activation (no layer has a bias).

    Attributes:
        name: dotted path, the same in the elastic and the static network.
        kind: `conv`, `depthwise`, `deconv` (transposed), `norm` (batch norm and activation alone), `resize`
            (each pixel repeated), `slice` (of the input's channels every n-th, as many as come out).
        in_channels: input channels.
        out_channels: output channels (equal to the input's for `depthwise`, `norm` and `resize`).
        kernel: side of the square kernel.
        stride: stride (upsampling factor for `deconv` and `resize`).
        norm: whether a batch norm follows.
        activation: what follows the norm, if anything.
        scale: the output map is 1/scale of the input image on each side.
        part: prefix of the names of layers that are costed and timed together; "" for a layer by itself.
        group: where in the network the part stands (`stage2`); equal parts of one group take equal time.
        closes_branch: whether it ends a residual branch whatever the widths are.
        first: the first channel that a `slice` takes.
    """

    name: str
    kind: Literal["conv", "depthwise", "deconv", "norm", "resize", "slice"]
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    norm: bool
    activation: Activation | None
    scale: int
    part: str = ""
    group: str = ""
    closes_branch: bool = False
    first: int = 0

    @property
    def padding(self) -> int:
        """Padding that keeps a stride-1 map's size (1 for the 4x4 deconvolution)."""
        return (self.kernel - 1) // 2

    @property
    def groups(self) -> int:
        """Groups of the convolution."""
        return self.in_channels if self.kind == "depthwise" else 1

    @property
    def weights(self) -> int:
        """Weights of the convolution; 0 where there is none."""
        if self.kind in ("norm", "resize", "slice"):
            return 0
        return self.in_channels // self.groups * self.out_channels * self.kernel**2

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return self.weights + 2 * self.norm * self.out_channels

    def macs(self, height: int, width: int, convention: Convention) -> int:
        """MACs for an input image of `height` x `width` pixels (multiples of the family's step)."""
        positions = (height // self.scale) * (width // self.scale)
        if convention == "exact":
            # A transposed convolution multiplies each INPUT position by the whole kernel.
            return self.weights * (positions // self.stride**2 if self.kind == "deconv" else positions)
        elementwise = 2 * self.norm + (self.activation is not None)
        return self.weights * positions + elementwise * self.out_channels * positions


# A layer of one value, or (None) the sum of two, by their numbers; see `trace`.
Step = tuple[Layer | None, tuple[int, ...]]


@dataclass(frozen=True)
class Refinement:
    """What refines a map before the head: frozen dataclasses of its settings derive from it.

    Attributes:
        kind: its name in `REFINEMENTS`.
    """

    kind: ClassVar[str]

    def check(self, channels: int) -> None:
        """Raise InputError unless a map of so many channels can be refined."""

    def layers(self, name: str, channels: int, scale: int) -> tuple[Layer, ...]:
        """Its layers, whose names begin with `name`, for a map of `channels` at 1/`scale`."""
        raise NotImplementedError

    def wire(self, name: str, apply: Callable[[str, T], T], add: Callable[[T, T], T], x: T) -> T:
        """The map refined, of the same size; see `Family.wire`."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The plain form, which `read_refinement` reads."""
        return {"kind": self.kind, **{f.name: as_lists(getattr(self, f.name)) for f in fields(self)}}

    def __str__(self) -> str:
        own = (f"{key} {value}" for key, value in self.to_dict().items() if key != "kind")
        return " ".join((self.kind, *own))


REFINEMENTS: Registry[type[Refinement]] = Registry(
    "refinement", {"rmpg": "supernet.layers.parse_graph:ParseGraph"}
)


def read_refinement(value: Any) -> Refinement | None:
    """The refinement with this plain form, `{kind: rmpg, ...}`; None for null.

    Raises:
        InputError: no such kind, or a setting is missing, unknown or out of range.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
        raise InputError(f"refinement: expected a mapping with its kind and settings, found {shown(value)}")
    settings = {key: item for key, item in value.items() if key != "kind"}
    return read_fields(REFINEMENTS.get(value["kind"]), settings, "refinement")
