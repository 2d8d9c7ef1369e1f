"""RMPG: a map refined by a parse graph of itself.

Source: Liu and Xie, "Refinement Module based on Parse Graph for Human Pose Estimation", arXiv 2501.11069
(2025, version 9). What the paper says in words is followed: a map is decomposed recursively along its
channels into a tree of sub-maps; context between siblings is computed; sub-maps with context are put together
again from the leaves up. How each step computes is chosen here; experiments/rmpg/README.md lists the choices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

from ..errors import InputError
from .description import Layer, Refinement

T = TypeVar("T")
# Nodes of one level: the most that are told apart.
MOST_NODES = 64


@dataclass(frozen=True)
class ParseGraph(Refinement):
    """Each node adds to its map what its children, with context, make of it; the root does it last.

    Child i of a node takes every n-th of its channels, from the i-th on, so that the sub-maps of a narrower
    map are the first channels of a wider one's, as everywhere in a supernet.

    Attributes:
        branching: children of each node, level by level from the root; as many levels as numbers.
        kernel: odd side of the depthwise convolution that looks at a sub-map before siblings are told of it.
    """

    kind = "rmpg"

    branching: tuple[int, ...] = (2, 2)
    kernel: int = 5

    def __post_init__(self) -> None:
        if not self.branching or min(self.branching) < 2 or math.prod(self.branching) > MOST_NODES:
            raise InputError(
                f"refinement branching: {list(self.branching)} must be one number or more of at least 2, "
                f"whose product is at most {MOST_NODES}"
            )
        if not self.kernel % 2:
            raise InputError(f"refinement kernel: {self.kernel} is even; kernels are odd (3, 5, 7)")

    def check(self, channels: int) -> None:
        """See `Refinement`."""
        leaves = math.prod(self.branching)
        if channels % leaves:
            raise InputError(
                f"refinement branching {list(self.branching)} does not divide a map of {channels} channels; "
                f"choose a width that is a multiple of {leaves}"
            )

    def layers(self, name: str, channels: int, scale: int) -> tuple[Layer, ...]:
        """See `Refinement`."""
        self.check(channels)
        return tuple(self._node(name, channels, (scale, name, "refinement"), self.branching))

    def _node(
        self, name: str, channels: int, place: tuple[int, str, str], branching: tuple[int, ...]
    ) -> Iterator[Layer]:
        """The layers of a node and of those below it, leaves first."""
        count, *below = branching
        width = channels // count
        for i in range(count):
            child = f"{name}.{i}"
            yield Layer(f"{child}.take", "slice", channels, width, 1, 1, False, None, *place, first=i)
            if below:
                yield from self._node(child, width, place, tuple(below))
            yield Layer(f"{child}.look", "depthwise", width, width, self.kernel, 1, True, "relu", *place)
        for i in range(count):
            child = f"{name}.{i}"
            for other in _siblings(i, count):
                yield Layer(f"{child}.told{other}", "conv", width, width, 1, 1, False, None, *place)
            yield Layer(
                f"{child}.context", "norm", width, width, 1, 1, True, None, *place, closes_branch=True
            )
            yield Layer(f"{child}.compose", "conv", width, channels, 1, 1, False, None, *place)
        yield Layer(
            f"{name}.composed", "norm", channels, channels, 1, 1, True, None, *place, closes_branch=True
        )

    def wire(self, name: str, apply: Callable[[str, T], T], add: Callable[[T, T], T], x: T) -> T:
        """See `Refinement`."""
        return self.wire_nodes(name, apply, add, x)[0]

    def wire_nodes(
        self, name: str, apply: Callable[[str, T], T], add: Callable[[T, T], T], x: T
    ) -> tuple[T, dict[str, T]]:
        """The map refined, and by name (`NAME.1`, `NAME.1.0`) the maps of the nodes below the root.

        A node's map is as its parent takes it: refined by its own children, and told of its siblings.
        """
        nodes: dict[str, T] = {}
        return self._wire_node(name, apply, add, x, self.branching, nodes), nodes

    def _wire_node(
        self,
        name: str,
        apply: Callable[[str, T], T],
        add: Callable[[T, T], T],
        x: T,
        branching: tuple[int, ...],
        nodes: dict[str, T],
    ) -> T:
        count, *below = branching
        maps, looks = [], []
        for i in range(count):
            child = f"{name}.{i}"
            y = apply(f"{child}.take", x)
            if below:
                y = self._wire_node(child, apply, add, y, tuple(below), nodes)
            maps.append(y)
            looks.append(apply(f"{child}.look", y))
        composed = []
        for i, y in enumerate(maps):
            child = f"{name}.{i}"
            told = (apply(f"{child}.told{other}", looks[other]) for other in _siblings(i, count))
            nodes[child] = add(y, apply(f"{child}.context", reduce(add, told)))
            # The sum of these is one convolution over the sub-maps put side by side.
            composed.append(apply(f"{child}.compose", nodes[child]))
        return add(x, apply(f"{name}.composed", reduce(add, composed)))


def _siblings(child: int, count: int) -> list[int]:
    return [other for other in range(count) if other != child]
