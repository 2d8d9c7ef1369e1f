"""Which images a training step sees, at which resolution: a function of (seed, step) and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import InputError
from .annotations.records import IntArray

# Each use of the seed gets a stream of its own.
_ORDER_STREAM = 1
_RESOLUTION_STREAM = 2
_AUGMENT_STREAM = 3


@dataclass(frozen=True)
class Draw:
    """One place in a batch: image `index` of the data set, seen for the `epoch`-th time (both from 0)."""

    epoch: int
    index: int


@dataclass(frozen=True)
class BatchPlan:
    """The order of training images over the whole training, cut into steps.

    The passes over the data set, each in an order of its own, follow one another without a gap; a batch
    may hold the end of one pass and the beginning of the next, so nothing is ever dropped and any batch
    size will do.

    Attributes:
        num_images: images of a pass.
        batch_size: images per step over all ranks.
        seed: >= 0.
        rank, world: this process and how many there are; rank r takes the r-th part of each batch.
        sources: of a mix, the indices of each source's images and how many of them are in a pass: one after
            the other and from the first again, whatever that number is; together `num_images`. Without,
            every image is in every pass once.

    Raises:
        InputError: the data set is empty, or the batch does not divide among the ranks.
    """

    num_images: int
    batch_size: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    sources: Sequence[tuple[Sequence[int], int]] = ()

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise InputError(
                "the training split holds no image with a labelled person; check data.root and the split"
            )
        if not 0 <= self.rank < self.world:
            raise InputError(f"rank {self.rank} is not below the number of processes, {self.world}")
        if self.batch_size < 1 or self.batch_size % self.world:
            raise InputError(f"batch_size={self.batch_size} must be a multiple of the {self.world} processes")

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see every image at least once."""
        return -(-self.num_images // self.batch_size)

    def epoch(self, step: int) -> float:
        """Passes over the data set that are complete before `step`, with the fraction of the next."""
        return step * self.batch_size / self.num_images

    def draws(self, step: int) -> tuple[Draw, ...]:
        """This rank's part of the batch of `step` (from 0)."""
        share = self.batch_size // self.world
        first = step * self.batch_size + self.rank * share
        return tuple(self._draw(*divmod(place, self.num_images)) for place in range(first, first + share))

    def _draw(self, epoch: int, at: int) -> Draw:
        place = int(_order(self.seed, epoch, self.num_images)[at])
        for indices, count in self.sources:
            if place < count:
                seen, which = divmod(epoch * count + place, len(indices))
                return Draw(seen, indices[which])
            place -= count
        return Draw(epoch, place)

    def rng(self, draw: Draw) -> np.random.Generator:
        """The generator of one image's augmentation in one epoch."""
        return np.random.default_rng([self.seed, _AUGMENT_STREAM, draw.epoch, draw.index])


def step_resolution(seed: int, step: int, choices: Sequence[int]) -> int:
    """The one resolution of `step`, uniform over `choices`: the same on all ranks."""
    return int(choices[int(np.random.default_rng([seed, _RESOLUTION_STREAM, step]).integers(len(choices)))])


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_images: int) -> IntArray:
    order = np.random.default_rng([seed, _ORDER_STREAM, epoch]).permutation(num_images)
    order.flags.writeable = False
    return order


def evenly(total: int, count: int) -> list[int]:
    """At most `count` of `total` >= 1 places, ascending, evenly spread from the first to the last."""
    places: list[int] = np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
    return places
