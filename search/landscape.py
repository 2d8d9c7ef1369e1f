"""`supernet=landscape:SPACE`: a made-up accuracy over any space, where no table reaches.

The measured tables of `experiments/search` decide the sizes: accuracy grows with cost and saturates; genes
differ in weight by a factor of ten and more; pairs of them hold a tenth of the variance; the score of one
network on n images is off by 8.4 points over the root of n; and these images are harder or easier for all
networks alike, by 20 points over the root of n.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from supernet.cost import Passes
from supernet.errors import InputError
from supernet.family import Architecture
from supernet.space import Codes, SearchSpace

from .accuracy.models import unit_scale
from .costs.contract import Costs, CostSettings, Floats, log_cost
from .options import SearchCommand
from .scores import Scored
from .strategies.contract import Problem
from .strategies.front import FrontOptions, evolve_front, front_mask, hypervolume_2d
from .strategies.operators import mutate

# AP points of the smallest and the largest network, the share of that span that cost explains, that of
# variance of pairs, and the deviation of a score on one image: a network's own, and that of all networks.
LOWEST, HIGHEST = 35.0, 62.0
TREND = (0.3, 0.5)
PAIRS = 0.1
IMAGE_DEVIATION, SHARED_DEVIATION = 8.4, 20.0
SAMPLES = 4096
LONG = FrontOptions(population=768, generations=600, rate=0.03)
POLISH, CHANGED = 6, 60_000


class Landscape:
    """One accuracy over a space, drawn from a seed; AP in [0, 1].

    It is the sum of a saturating trend in the logarithm of MACs, a saturating effect of every gene (the
    weight of a stage's kernels, say, is drawn once and divided among its blocks), and products of pairs.

    Args:
        space: whose architectures have an accuracy.
        seed: which member of the family it is.

    Attributes:
        space: the space.
        costs: MACs of its architectures.
    """

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self.space, self.seed = space, seed
        self.costs = Costs.of(space, CostSettings())
        rng = np.random.default_rng([seed, 18])
        self._free = np.flatnonzero(space.num_choices > 1)
        genes = [space.genes[column] for column in self._free]
        labels = [gene.label for gene in genes]
        self._scales = [_saturating(unit_scale(gene.choices), rng.uniform(0.1, 4.0)) for gene in genes]
        weights = np.zeros(len(genes))
        for label in dict.fromkeys(labels):
            members = [place for place, other in enumerate(labels) if other == label]
            weights[members] = rng.lognormal(0.0, 1.0) * rng.dirichlet(np.full(len(members), 2.0))
        trend = rng.uniform(*TREND)
        self._trend, self._bend = (HIGHEST - LOWEST) * trend, rng.uniform(1.0, 3.0)
        self._weights = (HIGHEST - LOWEST) * (1 - trend) * weights / weights.sum()
        self._span = log_cost([self.costs.of_smallest()[0], self.costs.of_largest()[0]])
        self._pairs = np.zeros((len(genes), len(genes)))
        sample = space.sample_codes(rng, SAMPLES)
        alone = self.points(sample).std()
        upper = np.triu_indices(len(genes), 1)
        # Genes that matter interact.
        share = np.sqrt(np.outer(self._weights, self._weights))[upper]
        chosen = rng.random(len(share)) < 2 * len(genes) / max(len(share), 1)
        self._pairs[upper] = rng.normal(size=len(share)) * share * chosen
        together = self._products(self._values(sample)).std()
        self._pairs *= np.sqrt(PAIRS) * alone / together if together else 0.0

    def points(self, codes: Codes) -> Floats:
        """(N,) AP in points of (N, G) codes, without noise."""
        values = self._values(codes)
        level = LOWEST + self._trend * _saturating(self._cost(codes), self._bend)
        return np.asarray(level + values @ self._weights + self._products(values))

    def _cost(self, codes: Codes) -> Floats:
        """(N,) logarithm of MACs, smallest 0, largest 1."""
        low, high = self._span
        return np.asarray((log_cost(self.costs.predict(codes)[:, 0]) - low) / (high - low))

    def _products(self, values: Floats) -> Floats:
        centred = values - 0.5
        return np.asarray(((centred @ self._pairs) * centred).sum(axis=1))

    def _values(self, codes: Codes) -> Floats:
        active = self.space.active(codes)
        return np.column_stack(
            [
                np.where(active[:, column], scale[codes[:, column]], 0.0)
                for column, scale in zip(self._free, self._scales, strict=True)
            ]
        )

    def noise(self, codes: Codes, images: int, first: int = 0) -> Floats:
        """(N,) points by which the score on `images` images from the `first` on is off.

        Equal at every call; images that two scores share are off by the same. All networks share how hard the
        images are.
        """
        shared = float(np.random.default_rng([self.seed, 20]).normal(size=first + images)[first:].mean())
        found = np.empty(len(codes))
        for row, code in enumerate(codes):
            key = hashlib.blake2b(code.astype(np.uint8).tobytes(), digest_size=8).digest()
            rng = np.random.default_rng([self.seed, 19, int.from_bytes(key, "little")])
            found[row] = rng.normal(size=first + images)[first:].mean()
        return np.asarray(IMAGE_DEVIATION * found + SHARED_DEVIATION * shared)

    def scores(self, codes: Codes, images: int | None = None, first: int = 0) -> Floats:
        """(N,) AP in [0, 1] as measured on `images` images from the `first` on; None is without noise."""
        off = self.noise(codes, images, first) if images else 0.0
        return np.clip((self.points(codes) + off) / 100, 0.0, 1.0)

    @cached_property
    def front(self) -> Codes:
        """(M, G) the true front of AP against MACs, cheap ones first, by a long evolution without noise
        and local search from there."""
        problem = Problem(self.costs, ())
        seeds = self.space.encode([self.space.smallest(), self.space.largest()])
        rng = np.random.default_rng(0)
        found = evolve_front(problem, self.points, rng, seeds, LONG)
        for _ in range(POLISH):
            # Every member changed by one gene, many times.
            changed = mutate(self.space, rng, np.repeat(found, 1 + CHANGED // len(found), axis=0), 0.0)
            found = np.concatenate([found, changed])
            found = found[front_mask(self._axes(found))]
        return found[np.argsort(self.costs.predict(found)[:, 0])]

    def _axes(self, codes: Codes) -> Floats:
        """(N, 2) `_cost`, and AP, smallest network 0, negative."""
        return np.column_stack([self._cost(codes), -(self.points(codes) - LOWEST) / (HIGHEST - LOWEST)])

    def hypervolume(self, codes: Codes) -> float:
        """Area under the front of the true AP of (M, G) codes as a share of the true front's.

        Axes: logarithm of MACs, and AP; reference: the largest network's MACs, the smallest network's AP.
        """
        return hypervolume_2d(self._axes(codes), (1.0, 0.0)) / hypervolume_2d(
            self._axes(self.front), (1.0, 0.0)
        )

    def best(self, limits: Sequence[float]) -> Floats:
        """(B,) best AP in points within each limit of MACs."""
        macs, points = self.costs.predict(self.front)[:, 0], self.points(self.front)
        return np.array([points[macs <= limit * (1 + 1e-12)].max() for limit in limits])


class LandscapeScores:
    """`supernet=landscape:SPACE:SEED`, seed 0 by default; see `search.scores.Scores`.

    The score is that of `evaluation.images` images (500 by default); `AP_true` beside it has no noise.
    """

    num_joints, passes, metric = 14, Passes(), "AP"
    warnings = ("the accuracy of this search is made up, to compare strategies with",)

    def __init__(self, argument: str, config: SearchCommand) -> None:
        name, _, seed = argument.partition(":")
        if not (seed or "0").isdecimal():
            raise InputError(f"supernet={config.supernet}: the seed of a landscape is a whole number")
        self.landscape = Landscape(SearchSpace.load(name), int(seed or 0))
        self.space = self.landscape.space
        self._named, self.images = config.supernet, config.evaluation.images or 500

    def __call__(self, arch: Architecture) -> Scored:
        """See `Scores`."""
        return self.on(self.images)(arch)

    def on(self, images: int, skip: int = 0) -> Callable[[Architecture], Scored]:
        """See `Scores.on`."""

        def score(arch: Architecture) -> Scored:
            codes = self.space.encode([arch])
            found = self.landscape.scores(codes, images, skip), self.landscape.scores(codes)
            return Scored({name: float(ap[0]) for name, ap in zip(("AP", "AP_true"), found, strict=True)})

        return score

    def fingerprint(self) -> dict[str, Any]:
        """See `Scores`."""
        return {"landscape": [self.landscape.seed, self.images]}

    def environment(self) -> dict[str, Any]:
        """See `Scores`."""
        return {"supernet": self._named, "scored on": f"{self.images} images that are made up"}

    def save(self, arch: Architecture, about: Mapping[str, Any], folder: Path) -> None:
        """Write the description alone: there are no weights."""
        folder.mkdir(parents=True, exist_ok=True)
        arch.save(folder / "arch.yaml")


def _saturating(values: Floats, bend: float) -> Floats:
    return np.asarray((1 - np.exp(-bend * values)) / (1 - np.exp(-bend)))
