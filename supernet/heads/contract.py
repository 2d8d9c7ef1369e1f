"""The contract of a head: what a network gives, how it learns that, and how people are made of it.

An architecture names its head (`arch.head_kind`); everything that concerns the network's outputs asks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from ..registry import Registry


@dataclass(frozen=True)
class Output:
    """One output of a network: (B, channels, H/scale, W/scale) for an input (B, 3, H, W).

    Attributes:
        name: such as `quarter`; also in exported files.
        channels: of the map.
        scale: how many input pixels one side of a map's pixel spans.
        heatmaps: how many of the first channels are heatmaps, one per joint.
        about: what an exported file says about it.
    """

    name: str
    channels: int
    scale: int
    heatmaps: int
    about: str = ""


class Head(ABC):
    """One kind of head.

    Attributes:
        name: in the registry.
        finds_people: whether people are decoded from the outputs for a whole image.
        finds_person: whether one person is decoded from those for a crop around them.
    """

    name: ClassVar[str]
    finds_people: ClassVar[bool] = True
    finds_person: ClassVar[bool] = False

    @abstractmethod
    def outputs(self, num_joints: int) -> tuple[Output, ...]:
        """The outputs of a network for `num_joints` joints, in its order."""


HEADS: Registry[Head] = Registry(
    "head",
    {
        "embedding": "supernet.heads.embedding:EMBEDDING",
        "heatmaps": "supernet.heads.single:HEATMAPS",
        "fields": "supernet.heads.single:FIELDS",
    },
)
