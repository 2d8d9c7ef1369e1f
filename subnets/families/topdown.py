"""Small top-down networks by their layers: SimpleBaseline, Hourglass and the network of RMPG modules.

Sources: Xiao et al., "Simple Baselines for Human Pose Estimation and Tracking", ECCV 2018; Newell et al.,
"Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016; Liu and Xie, "Refinement Module based on
Parse Graph for Human Pose Estimation", arXiv 2501.11069. Every width and depth is a setting. Other than
there: a strided convolution in the place of every pooling, one hourglass and no stack, and batch norms after
their convolutions. All give heatmaps of one person in a crop; what refines stands before the last
convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from supernet.cost import check_input_shape
from supernet.errors import InputError
from supernet.family import Architecture, Family, Layer, Refinement
from supernet.heads.contract import head_of
from supernet.heads.single import BODY, BODY_PARTS, HEATMAPS
from supernet.layers.parse_graph import ParseGraph

from .static import require_at_least, require_count

T = TypeVar("T")
Place = tuple[int, str, str]
REFINEMENT = "refinement"
FINEST = 4


@dataclass(frozen=True)
class TopDownArch(Architecture):
    """What both have: an input, channels at each scale, residual blocks, and what refines the last map.

    Attributes:
        input_shape: (height, width) in pixels.
        stem: channels at 1/2.
        widths: channels at 1/4, 1/8, ...
        depths: residual blocks at each.
        refinement: of the map at 1/4 that the heatmaps are made of; None for none.
    """

    head_kind: ClassVar[str] = "heatmaps"  # type: ignore[misc]

    input_shape: tuple[int, int] = field()  # type: ignore[misc]
    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]

    def __post_init__(self) -> None:
        require_count(2, input_shape=self.input_shape)
        require_at_least(1, stem=self.stem, widths=self.widths, depths=self.depths)
        require_count(len(self.widths), depths=self.depths)
        check_input_shape(self.input_shape, self.step)
        if self.refinement is not None:
            self.refinement.check(self.last_width)

    @property
    def resolution(self) -> int:
        """The short side of its input in pixels."""
        return min(self.input_shape)

    @property
    def step(self) -> int:
        """What sides are multiples of: how coarse the coarsest map is."""
        return FINEST << (len(self.widths) - 1)

    @property
    def last_width(self) -> int:
        """Channels of the map that the heatmaps are made of."""
        raise NotImplementedError


@dataclass(frozen=True)
class SimpleBaselineArch(TopDownArch):
    """A ResNet, then a transposed convolution for each halving back to 1/4.

    Attributes:
        deconvs: channels of the transposed convolutions, one fewer than widths.
    """

    family: ClassVar[str] = "simplebaseline"  # type: ignore[misc]

    deconvs: tuple[int, ...]
    refinement: Refinement | None = None

    def __post_init__(self) -> None:
        require_at_least(1, deconvs=self.deconvs)
        require_count(len(self.widths) - 1, deconvs=self.deconvs)
        super().__post_init__()

    @property
    def last_width(self) -> int:
        """See `TopDownArch`."""
        return (self.widths[0], *self.deconvs)[-1]


@dataclass(frozen=True)
class HourglassArch(TopDownArch):
    """One hourglass: down to the coarsest scale, and back by sums with the maps of the way down."""

    family: ClassVar[str] = "hourglass"  # type: ignore[misc]

    refinement: Refinement | None = None

    @property
    def last_width(self) -> int:
        """See `TopDownArch`."""
        return self.widths[0]


@dataclass(frozen=True)
class ParseGraphArch(SimpleBaselineArch):
    """SimpleBaseline whose last map several RMPG modules refine one after the other.

    Attributes:
        modules: how many, each of the form that `refinement` describes.
        supervised: the numbers, from 0, of those whose nodes are asked for parts of the body: the children of
            the root for the upper and the lower half, their children for a limb each. () for none.
    """

    family: ClassVar[str] = "parse-graph"  # type: ignore[misc]

    modules: int = 2
    supervised: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(1, modules=self.modules)
        if not isinstance(self.refinement, ParseGraph):
            raise InputError("settings refinement: a network of family parse-graph needs one of kind rmpg")
        if list(self.supervised) != sorted(set(self.supervised) & set(range(self.modules))):
            raise InputError(
                f"settings supervised: {list(self.supervised)} are not different numbers from 0 to "
                f"{self.modules - 1}, ascending, as the {self.modules} modules have"
            )
        if self.supervised and self.refinement.branching[:2] != (2, 2):
            raise InputError(
                "settings supervised: a body has two halves of two limbs each, but the refinement has "
                f"branching {list(self.refinement.branching)}; begin it with 2, 2, or supervise no module"
            )

    @property
    def head_kind(self) -> str:  # type: ignore[override]
        """Parts of the body beside the heatmaps where modules are supervised."""
        return BODY_PARTS.name if self.supervised else HEATMAPS.name


def residual_layers(name: str, width_in: int, width: int, stride: int, place: Place) -> Iterator[Layer]:
    """A bottleneck block, its middle half as wide, as `run_residual` runs it."""
    scale, middle = place[0], max(1, width // 2)
    yield Layer(f"{name}.reduce", "conv", width_in, middle, 1, 1, True, "relu", scale // stride, *place[1:])
    yield Layer(f"{name}.look", "conv", middle, middle, 3, stride, True, "relu", *place)
    yield Layer(f"{name}.expand", "conv", middle, width, 1, 1, True, None, *place, closes_branch=True)
    if stride != 1 or width_in != width:
        yield Layer(f"{name}.shortcut", "conv", width_in, width, 1, stride, True, None, *place)
    yield Layer(f"{name}.act", "norm", width, width, 1, 1, False, "relu", *place)


def run_residual(name: str, changes: bool, apply: Callable[[str, T], T], add: Callable[[T, T], T], x: T) -> T:
    """The block `name`; `changes` says whether it has a convolution in its shortcut."""
    y = x
    for part in ("reduce", "look", "expand"):
        y = apply(f"{name}.{part}", y)
    return apply(f"{name}.act", add(y, apply(f"{name}.shortcut", x) if changes else x))


class TopDownFamily(Family):
    """A stem to 1/2, the way down, the way up, the refinement, and a convolution to the heatmaps.

    Attributes:
        arch: the class of its descriptions.
    """

    heads: ClassVar[tuple[str, ...]] = (HEATMAPS.name,)
    arch: ClassVar[type[TopDownArch]]

    def read(self, value: Mapping[str, Any]) -> TopDownArch:
        """See `Family`."""
        return self.arch.from_dict(value)

    def step(self, arch: Any) -> int:
        """See `Family`."""
        found: int = arch.step
        return found

    def layers(self, arch: Any, num_joints: int) -> tuple[Layer, ...]:
        """See `Family`."""
        found = [Layer("stem", "conv", 3, arch.stem, 7, 2, True, "relu", 2, "stem", "stem")]
        width_in = arch.stem
        for i, (width, depth) in enumerate(zip(arch.widths, arch.depths, strict=True)):
            for j in range(depth):
                name, stride = f"down.{i}.{j}", 2 if j == 0 else 1
                place = (FINEST * 2**i, name, f"down{i + 1}")
                found += residual_layers(name, width_in, width, stride, place)
                width_in = width
        found += self.up_layers(arch)
        found += self.refining_layers(arch, num_joints)
        output, *_ = head_of(arch).outputs(num_joints)
        place = (FINEST, "output", "output")
        found.append(Layer("output", "conv", arch.last_width, output.channels, 1, 1, False, None, *place))
        return tuple(found)

    def wire(self, arch: Any, apply: Callable[[str, T], T], add: Callable[[T, T], T], images: T) -> list[T]:
        """See `Family`."""
        x, maps = apply("stem", images), []
        for i, depth in enumerate(arch.depths):
            for j in range(depth):
                x = run_residual(f"down.{i}.{j}", j == 0, apply, add, x)
            maps.append(x)
        x, more = self.refine(arch, apply, add, self.up(arch, apply, add, maps))
        return [apply("output", x), *more]

    def refining_layers(self, arch: Any, num_joints: int) -> Iterator[Layer]:
        """Those between the last map at 1/4 and the convolution that makes heatmaps of it."""
        if arch.refinement is not None:
            yield from arch.refinement.layers(REFINEMENT, arch.last_width, FINEST)

    def refine(
        self, arch: Any, apply: Callable[[str, T], T], add: Callable[[T, T], T], x: T
    ) -> tuple[T, list[T]]:
        """The last map refined, and what outputs there are beside the heatmaps."""
        return (x if arch.refinement is None else arch.refinement.wire(REFINEMENT, apply, add, x)), []

    def up_layers(self, arch: Any) -> Iterator[Layer]:
        """Those from the coarsest map to the last one at 1/4."""
        raise NotImplementedError

    def up(self, arch: Any, apply: Callable[[str, T], T], add: Callable[[T, T], T], maps: Sequence[T]) -> T:
        """The last map at 1/4 from those of the way down, the finest first."""
        raise NotImplementedError


class SimpleBaseline(TopDownFamily):
    """SimpleBaseline."""

    name = "simplebaseline"
    arch = SimpleBaselineArch

    def up_layers(self, arch: Any) -> Iterator[Layer]:
        """See `TopDownFamily`."""
        width_in = arch.widths[-1]
        for i, width in enumerate(arch.deconvs):
            name, scale = f"up.{i}", FINEST * 2 ** (len(arch.deconvs) - 1 - i)
            yield Layer(name, "deconv", width_in, width, 4, 2, True, "relu", scale, name, f"up{i + 1}")
            width_in = width

    def up(self, arch: Any, apply: Callable[[str, T], T], add: Callable[[T, T], T], maps: Sequence[T]) -> T:
        """See `TopDownFamily`."""
        x = maps[-1]
        for i in range(len(arch.deconvs)):
            x = apply(f"up.{i}", x)
        return x


class Hourglass(TopDownFamily):
    """Hourglass: on the way up each map is brought to the finer one's width, doubled and added to it."""

    name = "hourglass"
    arch = HourglassArch

    def up_layers(self, arch: Any) -> Iterator[Layer]:
        """See `TopDownFamily`."""
        for i in reversed(range(len(arch.widths) - 1)):
            name, scale, width = f"up.{i}", FINEST * 2**i, arch.widths[i]
            coarse, place = (2 * scale, name, f"up{i + 1}"), (scale, name, f"up{i + 1}")
            yield Layer(f"{name}.narrow", "conv", arch.widths[i + 1], width, 1, 1, True, None, *coarse)
            yield Layer(f"{name}.enlarge", "resize", width, width, 1, 2, False, None, *place)
            yield from residual_layers(f"{name}.skip", width, width, 1, place)

    def up(self, arch: Any, apply: Callable[[str, T], T], add: Callable[[T, T], T], maps: Sequence[T]) -> T:
        """See `TopDownFamily`."""
        x = maps[-1]
        for i in reversed(range(len(arch.widths) - 1)):
            name = f"up.{i}"
            doubled = apply(f"{name}.enlarge", apply(f"{name}.narrow", x))
            x = add(doubled, run_residual(f"{name}.skip", False, apply, add, maps[i]))
        return x


class ParseGraphNetwork(SimpleBaseline):
    """Several RMPG modules in a row; nodes of supervised ones also give heatmaps of parts of the body.

    What the same node says in several supervised modules is added up, so that a later one mends it.
    """

    name = "parse-graph"
    heads = (HEATMAPS.name, BODY_PARTS.name)
    arch = ParseGraphArch

    def refining_layers(self, arch: Any, num_joints: int) -> Iterator[Layer]:
        """See `TopDownFamily`."""
        for module in range(arch.modules):
            name = f"{REFINEMENT}.{module}"
            found = arch.refinement.layers(name, arch.last_width, FINEST)
            yield from found
            if module in arch.supervised:
                width = {layer.name: layer.out_channels for layer in found}
                of_parts = BODY_PARTS.joints(num_joints)
                for (part, node), joints in zip(BODY.items(), of_parts, strict=True):
                    whole, wide = f"parts.{module}", width[f"{name}.{node}.context"]
                    yield Layer(
                        *(f"{whole}.{part}", "conv", wide, len(joints), 1, 1, False, None),
                        *(FINEST, whole, "parts"),
                    )

    def refine(
        self, arch: Any, apply: Callable[[str, T], T], add: Callable[[T, T], T], x: T
    ) -> tuple[T, list[T]]:
        """See `TopDownFamily`."""
        said: list[T] = []
        for module in range(arch.modules):
            name = f"{REFINEMENT}.{module}"
            x, nodes = arch.refinement.wire_nodes(name, apply, add, x)
            if module in arch.supervised:
                found = [apply(f"parts.{module}.{part}", nodes[f"{name}.{at}"]) for part, at in BODY.items()]
                said = [add(*pair) for pair in zip(said, found, strict=True)] if said else found
        return x, said


SIMPLE_BASELINE = SimpleBaseline()
HOURGLASS = Hourglass()
PARSE_GRAPH = ParseGraphNetwork()
