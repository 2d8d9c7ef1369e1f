"""The contract of a family of networks: how they are described, which layers they have, what follows.

Everything else asks an architecture for its family: networks, costs, channel sorting, folding, names of
released weights. A family gives its layers and their wiring (the elastic and the static network, costs and
memory follow) or a torch module of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .errors import InputError, as_lists, check_schema, positive_int, read_fields, shown

# Who describes a family finds all it needs here, layers as well.
from .layers.description import CONVENTIONS as CONVENTIONS
from .layers.description import Activation as Activation
from .layers.description import Convention as Convention
from .layers.description import Layer as Layer
from .layers.description import Refinement as Refinement
from .layers.description import Step, read_refinement
from .registry import Registry, conf_names, find_conf
from .runs.files import is_json, read_json, read_yaml, write_yaml

if TYPE_CHECKING:
    from typing import Self

    from .space import SearchSpace

SCHEMA = 1
# The family of files that name none, which are older than the others.
FIRST_FAMILY = "litepose"
# Folders of conf/ in which an architecture's name is looked up, in this order.
FOLDERS = ("zoo", "baselines")
LARGEST_SIDE = 4096
# Sides of an input are multiples of this where a family says nothing else.
STEP = 16

T = TypeVar("T")


class Architecture:
    """What a network is described by: frozen dataclasses derive from it, so that equal networks are equal.

    The plain form is made of the dataclass's fields (integers, numbers, nested tuples of them) unless a
    family writes its own.

    Attributes:
        family: name of the family.
        resolution: short side of its input in pixels.
        head_kind: name of the head (see `supernet.heads.contract`).
        refinement: what refines the map that the head starts from, if anything does.
        input_shape: (height, width) of the input that costs and latencies are for; default a square.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    if TYPE_CHECKING:

        @property
        def family(self) -> str: ...
        @property
        def resolution(self) -> int: ...
        @property
        def head_kind(self) -> str: ...
        @property
        def refinement(self) -> Refinement | None: ...
        @property
        def input_shape(self) -> tuple[int, int]: ...
    else:
        head_kind = "embedding"
        refinement = None

        # No property, so that a field can take its place.
        @cached_property
        def input_shape(self) -> tuple[int, int]:
            return self.resolution, self.resolution

    @classmethod
    def from_dict(cls, value: Any) -> Self:
        """Build one from its plain form.

        Raises:
            InputError: a key is missing, unknown, of the wrong type or out of range.
        """
        plain = {key: item for key, item in value.items() if key not in ("schema", "family", "about")}
        check_schema(value, SCHEMA)
        return read_fields(cls, plain, refinement=read_refinement)

    def to_dict(self) -> dict[str, Any]:
        """The plain form: what `save` writes and `from_dict` reads."""
        own = {
            field.name: as_lists(getattr(self, field.name))
            for field in fields(self)
            if field.name != "refinement"
        }
        if self.refinement is not None:
            own["refinement"] = self.refinement.to_dict()
        return {"schema": SCHEMA, "family": self.family, **own}

    def save(self, path: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> None:
        """Write the YAML form to `path` atomically.

        Args:
            path: the file to write.
            about: values to keep beside the network (source, costs, scores), which `read_about` gives back.
        """
        if Path(path).suffix == ".gz":
            raise InputError(f"{path}: an architecture is written as .yaml or .json, not compressed")
        value = self.to_dict()
        if about:
            value["about"] = dict(about)
        write_yaml(path, value)


@dataclass(frozen=True)
class NetworkCost:
    """What one image costs.

    Attributes:
        params: trainable parameters.
        exact: multiply-accumulates of convolutions, transposed convolutions and linear layers.
        litepose: by the LitePose paper's counting.
    """

    params: int
    exact: int
    litepose: int


class Family:
    """One family of networks.

    Attributes:
        name: in the registry.
        heads: kinds of heads that its networks can carry; () for any with outputs at scales that they have.
        skeleton: name of the joint layout that all its networks are bound to, if they are.
        folders: where descriptions lie that are found by name, beside those that ship.
        network: class of its static `Network`; None where that follows from its layers.
    """

    name: ClassVar[str]
    heads: ClassVar[tuple[str, ...]] = ()
    skeleton: ClassVar[str | None] = None
    folders: tuple[Path, ...] = ()
    network: type[Any] | None = None

    def check(self) -> None:
        """Raise InputError if it lacks what every family of its kind has; called when it is registered."""

    def read(self, value: Mapping[str, Any]) -> Architecture:
        """The description with this plain form.

        Raises:
            InputError: it describes no network.
        """
        raise NotImplementedError

    def read_space(self, value: Mapping[str, Any], default_name: str) -> SearchSpace:
        """The search space with this plain form.

        Raises:
            InputError: it is none, or the family cannot be searched.
        """
        raise InputError(f"family {self.name} has no search space")

    def step(self, arch: Architecture) -> int:
        """What both sides of an input are multiples of."""
        return STEP

    def layers(self, arch: Any, num_joints: int) -> tuple[Layer, ...]:
        """Every layer of `arch` in the order of its data flow, whatever its resolution.

        Raises:
            InputError: the family gives a whole network only.
        """
        raise InputError(f"family {self.name} gives no layers, which this needs")

    def wire(self, arch: Any, apply: Callable[[str, T], T], add: Callable[[T, T], T], images: T) -> list[T]:
        """Run the network: `apply(layer name, value)` computes a layer, `add` a sum.

        Values are tensors in a network; sorting and folding pass symbols through the same wiring. What it
        returns are the outputs, in the order of the head's.

        Raises:
            InputError: the family gives a whole network only.
        """
        raise InputError(f"family {self.name} gives no layers, which this needs")

    def cost(self, arch: Architecture, num_joints: int, height: int, width: int) -> NetworkCost:
        """What one image of `height` x `width` pixels costs: by default the sums over its layers."""
        found = layers(arch, num_joints)
        exact, paper = (
            sum(layer.macs(height, width, convention) for layer in found) for convention in CONVENTIONS
        )
        return NetworkCost(sum(layer.params for layer in found), exact, paper)

    def released_name(self, layer: Layer) -> tuple[str, str]:
        """Paths of a layer's convolution and norm in the networks that the family's authors released."""
        raise InputError(f"family {self.name} has no released weights")


FAMILIES: Registry[Family] = Registry(
    "family",
    {
        "litepose": "supernet.litepose.topology:LITEPOSE",
        "higherhrnet": "subnets.families.hrnet:HIGHERHRNET",
        "efficienthrnet": "subnets.families.efficienthrnet:EFFICIENTHRNET",
        "lightweight-openpose": "subnets.families.lightweight_openpose:LIGHTWEIGHT_OPENPOSE",
        "lpn": "subnets.families.lpn:LPN_FAMILY",
        "simplebaseline": "subnets.families.topdown:SIMPLE_BASELINE",
        "hourglass": "subnets.families.topdown:HOURGLASS",
        "parse-graph": "subnets.families.topdown:PARSE_GRAPH",
    },
    lambda family: family.check(),
)


def family_of(arch: Architecture) -> Family:
    """The family of `arch`.

    Raises:
        InputError: there is none of that name.
    """
    return FAMILIES.get(arch.family)


def family_named(value: Any) -> Family:
    """The family that the plain form of an architecture or a space names; InputError if it names none."""
    if not isinstance(value, Mapping):
        raise InputError(f"expected a mapping, found {type(value).__name__}")
    name = value.get("family", FIRST_FAMILY)
    if not isinstance(name, str):
        raise InputError(f"family: expected a name, found {shown(name)}")
    return FAMILIES.get(name)


def step_of(arch: Architecture) -> int:
    """What both sides of the input of `arch` are multiples of."""
    return family_of(arch).step(arch)


@lru_cache(maxsize=2048, typed=True)
def layers(arch: Architecture, num_joints: int) -> tuple[Layer, ...]:
    """Every layer of `arch` in the order of its data flow.

    Raises:
        InputError: `num_joints` is not positive, or the family gives no layers.
    """
    return family_of(arch).layers(arch, positive_int(num_joints, "num_joints"))


def wire(arch: Architecture, apply: Callable[[str, T], T], add: Callable[[T, T], T], images: T) -> list[T]:
    """Run `arch`; see `Family.wire`."""
    return family_of(arch).wire(arch, apply, add, images)


def trace(arch: Architecture, num_joints: int) -> tuple[list[Step], list[int]]:
    """The wiring as steps, and the numbers of the outputs: 0 is the images, `i + 1` what step i gives."""
    known = {layer.name: layer for layer in layers(arch, num_joints)}
    steps: list[Step] = []

    def run(layer: Layer | None, *inputs: int) -> int:
        steps.append((layer, inputs))
        return len(steps)

    outputs = wire(arch, lambda name, x: run(known[name], x), lambda x, y: run(None, x, y), 0)
    return steps, outputs


@lru_cache(maxsize=256)
def norm_sources(arch: Architecture, num_joints: int) -> dict[str, tuple[str, ...]]:
    """For every layer with a batch norm, the convolutions whose sum it normalises.

    That is the layer's own convolution, or for a bare norm those that are added before it. Where norms are
    folded, the first of them has a bias.
    """
    found: dict[str, tuple[str, ...]] = {}
    sums: list[tuple[str, ...]] = [()]
    for layer, inputs in trace(arch, num_joints)[0]:
        before = tuple(name for value in inputs for name in sums[value])
        if layer is not None and layer.norm:
            found[layer.name] = before if layer.kind == "norm" else (layer.name,)
        sums.append(before if layer is None else (layer.name,))
    return found


def arch_from_dict(value: Any) -> Architecture:
    """The description with this plain form, of any family; a form that names none is LitePose's.

    Raises:
        InputError: it describes no network, or one with a head that the family cannot carry.
    """
    family = family_named(value)
    arch = family.read(value)
    if family.heads and arch.head_kind not in family.heads:
        known = ", ".join(family.heads)
        raise InputError(f"family {family.name} has no head {arch.head_kind!r}; it carries {known}")
    return arch


def load_arch(source: str | os.PathLike[str]) -> Architecture:
    """What a name that ships, a file (.yaml, .json) or a folder with `arch.yaml` describes.

    Raises:
        InputError: no such name or file, or it describes no network.
    """
    path, value = read_source(source, FOLDERS)
    try:
        return arch_from_dict(value)
    except InputError as error:
        raise InputError(f"architecture {path}: {error}") from None


def read_about(source: str | os.PathLike[str]) -> dict[str, Any]:
    """What is kept beside an architecture: a name that ships or a file of ours ({} if it keeps none).

    Raises:
        InputError: no such name or file, or it is no mapping.
    """
    value = read_source(source, FOLDERS)[1]
    about = value.get("about", {}) if isinstance(value, Mapping) else None
    if not isinstance(about, Mapping):
        raise InputError(f"architecture {os.fspath(source)}: about is no mapping")
    return dict(about)


def read_source(source: str | os.PathLike[str], folders: Sequence[str]) -> tuple[Path, Any]:
    """The file that `source` names, in `folders` of `conf/` or in a registered family's, and its content.

    Raises:
        InputError: no such name or file.
    """
    places = [*folders, *(str(place) for family in FAMILIES.registered() for place in family.folders)]
    path = next((found for place in places if (found := find_conf(place, source)) is not None), None)
    if path is None:
        known = ", ".join(name for place in places for name in conf_names(place))
        raise InputError(
            f"architecture {os.fspath(source)!r} is neither a file nor a name that ships ({known})"
        )
    path = path / "arch.yaml" if path.is_dir() else path
    return path, read_json(path, "architecture") if is_json(path) else read_yaml(path, "architecture")
