"""The contract of a head: what a network gives, how it learns that, and how people are made of it.

An architecture names its head (`arch.head_kind`); everything that concerns the network's outputs asks it.
Torch is imported by training alone: an exported network finds people through the same contract without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import InputError, shown
from ..registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..data.batch import Batch
    from ..data.targets import Targets
    from ..family import Architecture, Layer
    from ..pose.grouping import DecodeOptions
    from ..pose.people import Floats, People
    from ..pose.preprocess import View
    from ..pose.skeletons import Skeleton
    from ..space import Codes, SearchSpace
    from ..training.options import LossOptions
    from .losses import Terms

# The gene that decides it.
HEAD_GENE = "head.kind"


@dataclass(frozen=True)
class Output:
    """One output of a network: (B, channels, H/scale, W/scale) for an input (B, 3, H, W).

    Attributes:
        name: such as `quarter`; also in exported files.
        channels: of the map; J heatmaps come first.
        scale: how many input pixels one side of a map's pixel spans.
        about: what an exported file says about it.
    """

    name: str
    channels: int
    scale: int
    about: str = ""


class Head(ABC):
    """One kind of head. As it is, every output begins with J heatmaps, learned by masked MSE.

    Attributes:
        name: in the registry.
        finds_people: whether people are found in a whole image; `people` does it.
        finds_person: whether one person is found in a crop around them; `person` does it.
        peaks: whether its maps are those of the built-in head, heatmaps and tags at 1/4 and heatmaps at 1/2,
            which the decoders that an export brings along (`decode.h`) take.
        ends: in how many people or peaks an exported graph ends where nobody says; 0 keeps the maps.
        portable: whether its module is copied into exported folders and finds people there: whatever it
            imports at its top is numpy, SciPy, OpenCV, or a module of this toolkit or its own package of
            which that holds too.
    """

    name: ClassVar[str]
    finds_people: ClassVar[bool] = True
    finds_person: ClassVar[bool] = False
    peaks: ClassVar[bool] = False
    ends: ClassVar[int] = 0
    portable: ClassVar[bool] = False

    @abstractmethod
    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        """The outputs of a network for `num_joints` joints, in its order."""

    def enlarge(
        self, name: str, channels: int, width: int, scale: int, part: str, group: str
    ) -> tuple[Layer, ...]:
        """The layers, one after the other, by which a family doubles a map's sides on the way to the outputs.

        By default a transposed convolution. `width` is that of the result; see `Layer` for the others.
        """
        from ..family import Layer

        return (Layer(name, "deconv", channels, width, 4, 2, False, None, scale, part, group),)

    def targets(self, batch: Batch, sigma: float) -> Targets:
        """What the outputs for `batch` are to be; `sigma` is that of the Gaussians, in pixels of each map."""
        from ..data.targets import draw_targets

        return draw_targets(batch, self.outputs(batch.joints.shape[2]), sigma)

    def terms(self, outputs: Sequence[Tensor], targets: Targets, options: LossOptions) -> Terms:
        """The terms of the loss by name, each with its weight and a scalar."""
        from .losses import heatmap_terms

        names = [f"heat_{output.name}" for output in self.outputs(targets.joints.shape[2])]
        return dict(zip(names, heatmap_terms(outputs, targets.heats, targets, options), strict=True))

    def distillation(
        self, student: Sequence[Tensor], teacher: Sequence[Tensor], targets: Targets, options: LossOptions
    ) -> Tensor:
        """The error of a student's outputs against a larger network's, a scalar."""
        from .losses import distillation

        return distillation(student, teacher, targets, options)

    def check_outputs(self, outputs: Sequence[Floats], shape: tuple[int, ...], skeleton: Skeleton) -> None:
        """Raise InputError unless `outputs` are those for an input of `shape` (B, 3, H, W)."""
        expected = self.outputs(skeleton.num_joints)
        shapes = [output.shape for output in outputs]
        if shapes != [(shape[0], o.channels, shape[2] // o.scale, shape[3] // o.scale) for o in expected]:
            first, *others = (f"{o.channels}{{}} at 1/{o.scale}" for o in expected)
            needed = " and ".join([first.format(" channels"), *(other.format("") for other in others)])
            raise InputError(
                f"the network gives outputs {shapes} for input {shape}; skeleton {skeleton.name!r} needs"
                f" {needed} scale"
            )

    def people(
        self,
        passes: Sequence[Sequence[Sequence[Floats]]],
        views: Sequence[View],
        skeleton: Skeleton,
        options: DecodeOptions,
    ) -> People:
        """The people of one image, in its own coordinates.

        Args:
            passes: per view the outputs (channels, h, w), and with a flip test those for its mirror image.
            views: the image at every scale of the test, the one nearest to 1 first.
            skeleton: the joints.
            options: thresholds and limits.

        Raises:
            InputError: this head finds none (see `finds_people`).
        """
        raise InputError(f"from a head of {self.name} no people can be found in whole images")

    def person(self, passes: Sequence[Sequence[Floats]], skeleton: Skeleton) -> Floats:
        """(B, J, 3) x, y in input pixels and score of the person in the middle of each of B crops.

        Args:
            passes: the outputs (B, channels, h, w), and with a flip test those for the mirrored crops.
            skeleton: the joints.

        Raises:
            InputError: this head finds none (see `finds_person`).
        """
        raise InputError(f"from a head of {self.name} no person can be found in a crop")

    def ending(self, count: int, skeleton: Skeleton) -> nn.Module | None:
        """What an exported graph can end in instead of maps: a module of plain operators that takes them.

        Its first output are scores, best first. None where there is no such end.
        """
        return None

    def ending_outputs(self) -> dict[str, str]:
        """The names of what `ending` gives, and what an exported file says of each."""
        return {}

    def ended(
        self, outputs: Sequence[Floats], view: View, skeleton: Skeleton, options: DecodeOptions
    ) -> People:
        """The people of one image, in its own coordinates, from what `ending` gave for it.

        Raises:
            InputError: there is no such end.
        """
        raise InputError(f"a graph of {self.name} ends in nothing but maps")


class Ended(Head):
    """The head of a graph that was exported up to its end: finds people wherever a head does.

    Flip and multi-scale tests merge maps, which it has none of.
    """

    name = "ended"

    def __init__(self, head: Head) -> None:
        self.head = head

    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        return self.head.outputs(num_joints)

    def check_outputs(self, outputs: Sequence[Floats], shape: tuple[int, ...], skeleton: Skeleton) -> None:
        """Raise InputError unless there are as many as the end has, one row for each image."""
        wanted = self.head.ending_outputs()
        if [len(output) for output in outputs] != [shape[0]] * len(wanted):
            found = [output.shape for output in outputs]
            raise InputError(f"the network gives outputs {found} where {', '.join(wanted)} were expected")

    def people(
        self,
        passes: Sequence[Sequence[Sequence[Floats]]],
        views: Sequence[View],
        skeleton: Skeleton,
        options: DecodeOptions,
    ) -> People:
        if len(passes) > 1 or len(passes[0]) > 1:
            raise InputError("flip and multi-scale tests need heatmaps; this network gives peaks or people")
        return self.head.ended([output[None] for output in passes[0][0]], views[0], skeleton, options)


def graph_head(head: Head, ends: bool) -> Head:
    """The head that finds people in what a graph of `head` gives: in its maps, or, where it ends in peaks or
    people, in those.
    """
    return Ended(head) if ends else head


HEADS: Registry[Head] = Registry(
    "head",
    {
        "embedding": "supernet.heads.embedding:EMBEDDING",
        "heatmaps": "supernet.heads.single:HEATMAPS",
        "body_parts": "supernet.heads.single:BODY_PARTS",
        "fields": "supernet.heads.single:FIELDS",
        "ae_resize": "supernet.heads.embedding:AE_RESIZE",
        "onestage": "supernet.heads.onestage:ONESTAGE",
    },
)


def head_of(arch: Architecture) -> Head:
    """The head of the network that `arch` describes."""
    return HEADS.get(arch.head_kind)


def read_heads(value: Any) -> tuple[str, ...]:
    """The heads that a space offers: one name, or a list of different ones.

    Raises:
        InputError: it is neither.
    """
    names = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise InputError(f"head_kind: expected a name or a list of names, found {shown(value)}")
    if len(set(names)) != len(names):
        raise InputError(f"head_kind: a choice is listed twice in {list(names)}")
    return names


def plain_heads(names: tuple[str, ...]) -> Any:
    """What `read_heads` reads: the name of the only one, or a list."""
    return names[0] if len(names) == 1 else list(names)


def with_each_head(space: SearchSpace, arch: Architecture) -> Codes:
    """(K, G) codes of `arch`, and of the same with each other head of the space, in their order."""
    import numpy as np

    codes = np.repeat(space.encode([arch]), len(space.head_kinds), axis=0)
    if HEAD_GENE in space.gene_index:
        codes[:, space.gene_index[HEAD_GENE]] = np.arange(len(codes))
    return space.canonical(codes)


def require_people(heads: Sequence[str], what: str) -> None:
    """Raise InputError unless people are found in whole images by each of the `heads` of `what`."""
    for name in heads:
        if not HEADS.get(name).finds_people:
            raise InputError(
                f"{what} has head_kind {name}, which finds nobody in whole images; "
                "here only networks that find everybody in an image are trained and searched"
            )
