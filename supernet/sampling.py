"""Which subnets a training step runs, and random architectures near a cost target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .data.plan import step_resolution
from .errors import InputError
from .family import Architecture
from .heads.contract import HEAD_GENE, with_each_head
from .space import Codes, Gene, SearchSpace
from .training.options import SamplingOptions

# The data's order, resolution and augmentation have streams 1 to 3 of the same seed.
_ARCH_STREAM = 4
_FIXED_STREAM = 5
_HEAD_STREAM = 6


@dataclass(frozen=True)
class Sampled:
    """One subnet of a step.

    Attributes:
        role: "largest", "random" or "smallest".
        arch: its architecture, at the step's resolution.
    """

    role: str
    arch: Architecture


class SubnetSchedule:
    """The subnets of every step.

    Args:
        space: where they come from.
        options: the sampling rule.
        seed: >= 0.

    Raises:
        InputError: a resolution is not one of the space's.
    """

    def __init__(self, space: SearchSpace, options: SamplingOptions, seed: int = 0) -> None:
        self.space = space
        self.options = options
        self.seed = seed
        self.resolutions = tuple(options.resolutions or space.resolution)
        for resolution in self.resolutions:
            if resolution not in space.resolution:
                known = ", ".join(map(str, space.resolution))
                raise InputError(
                    f"train.sampling.resolutions: {resolution} is not in space {space.name} ({known})"
                )
        self._full = space.num_choices - 1
        self._phase_of = np.array([_phase(gene, options.widening_order) for gene in space.genes])

    def resolution(self, step: int) -> int:
        """The one input side of `step`, in pixels."""
        return step_resolution(self.seed, step, self.resolutions)

    def phase(self, step: int) -> int:
        """How many groups of dimensions are elastic at `step`."""
        groups = len(self.options.widening_order)
        since = step - self.options.largest_first
        return min(groups, 1 + since // self.options.widening) if self.options.widening else groups

    def subnets(self, step: int) -> tuple[Sampled, ...]:
        """The subnets of `step` in the order of their training; the largest, if there is one, comes first."""
        options = self.options
        full = self._full[None]
        if step < options.largest_first:
            return (Sampled("largest", self.largest(step)),)
        rng = np.random.default_rng([self.seed, _ARCH_STREAM, step])
        drawn = self.space.sample_codes(rng, options.random)
        roles = ("random",) * options.random
        if options.rule == "sandwich":
            drawn = np.concatenate([full, drawn, np.zeros_like(full)])
            roles = ("largest", *roles, "smallest")
        closed = self._phase_of >= self.phase(step)
        return self._at(step, np.where(closed, self._full, drawn), roles)

    def largest(self, step: int) -> Architecture:
        """The largest, at the resolution and with the head of `step`."""
        return self._at(step, self._full[None], ("largest",))[0].arch

    def _of_one_head(self, step: int, codes: Codes) -> Codes:
        """`codes` with the head of `step`, the same for all: they learn from one another."""
        column = self.space.gene_index.get(HEAD_GENE)
        if column is None:
            return codes
        rng = np.random.default_rng([self.seed, _HEAD_STREAM, step])
        chosen = codes.copy()
        chosen[:, column] = rng.integers(self.space.num_choices[column])
        return chosen

    def _at(self, step: int, codes: Codes, roles: tuple[str, ...]) -> tuple[Sampled, ...]:
        resolution = self.resolution(step)
        archs = self.space.decode(self.space.canonical(self._of_one_head(step, codes)))
        return tuple(Sampled(r, replace(a, resolution=resolution)) for r, a in zip(roles, archs, strict=True))


def fixed_subnets(space: SearchSpace, count: int, seed: int = 0) -> list[Architecture]:
    """`count` different random architectures that validation follows through a whole run."""
    rng = np.random.default_rng([seed, _FIXED_STREAM])
    found = dict.fromkeys(space.decode(space.sample_codes(rng, 8 * count)) if count else [])
    return list(found)[:count]


def _phase(gene: Gene, order: tuple[str, ...]) -> int:
    """The place of a gene's group in the widening order; -1 for the resolution, which is always elastic."""
    if gene.kind == "resolution":
        return -1
    return order.index(gene.kind if gene.kind in order else "width")


# A tilt t turns a uniform u into u ** exp(-t): t < 0 leans towards small choices, t > 0 towards large ones.
_MAX_TILT = 4.0
_GENE_SPREAD = 0.7
_ROUNDS = 60
_STALE_ROUNDS = 15
_BATCH = 2048
# Fewer than this many hits a round are taken for a search that gets nowhere.
_HITS = 8


class CostTable(Protocol):
    """Anything that predicts a cost from codes: MACs, parameters, latency."""

    def predict(self, codes: Codes) -> npt.NDArray[Any]:
        """(N,) costs of (N, G) codes."""
        ...


def sample_near(
    space: SearchSpace, table: CostTable, rng: np.random.Generator, target: float, tolerance: float, n: int
) -> Codes:
    """`n` random architectures whose cost is within `tolerance` of `target`.

    Uniform choices give costs around the middle of the range and almost never its ends, so all choices of
    a candidate lean together towards the small or the large ones, by an amount that adapts to the target;
    every gene has its own scatter on top, so that the results differ in more than size.

    Args:
        space: where to draw from.
        table: the cost (`MacsTable`, `ParamsTable`, `LatencyTable`).
        rng: source of randomness; the same state gives the same result.
        target: the cost wanted, in the table's unit.
        tolerance: relative: costs in target * (1 - tolerance) .. target * (1 + tolerance) are accepted.
        n: how many; all different unless the space has too few near the target.

    Returns:
        (n, G) codes.

    Raises:
        InputError: after a bounded number of tries none fits; the message names the reachable costs.
    """
    if not (target > 0 and 0 <= tolerance < 1 and n >= 1):
        raise InputError(
            f"cannot draw {n} architectures at {target:g} +- {tolerance:g} (relative); need n >= 1, "
            "target > 0, tolerance from 0 to below 1"
        )
    low, high = target * (1 - tolerance), target * (1 + tolerance)
    seen = _Range(target)
    found: dict[bytes, npt.NDArray[np.int64]] = {}

    def consider(codes: Codes) -> npt.NDArray[Any]:
        costs = table.predict(codes)
        seen.add(costs)
        for row in codes[(costs >= low) & (costs <= high)]:
            found.setdefault(row.tobytes(), row)
        return costs

    consider(np.concatenate([with_each_head(space, arch) for arch in (space.smallest(), space.largest())]))
    if high < seen.low or low > seen.high:
        raise InputError(_infeasible(space, target, tolerance, seen))
    tilts = rng.uniform(-_MAX_TILT, _MAX_TILT, size=_BATCH)
    stale = 0
    for _ in range(_ROUNDS + n // _HITS):
        before = len(found)
        costs = consider(tilted_codes(space, rng, tilts))
        stale = 0 if len(found) > before else stale + 1
        if len(found) >= n or (found and stale == _STALE_ROUNDS):
            break
        # The next round scatters around the tilts that came closest.
        closest = np.argsort(np.abs(costs - target), kind="stable")[: _BATCH // 8]
        tilts = rng.choice(tilts[closest], size=_BATCH) + rng.normal(0.0, 0.25, size=_BATCH)
    if not found:
        raise InputError(_infeasible(space, target, tolerance, seen))
    rows: Codes = np.stack(list(found.values()))
    # With fewer than n, all of them come, some again.
    order = np.concatenate([rng.permutation(len(rows)) for _ in range(-(-n // len(rows)))])
    chosen: Codes = rows[order[:n]]
    return chosen


def tilted_codes(space: SearchSpace, rng: np.random.Generator, tilts: npt.NDArray[np.float64]) -> Codes:
    """(N, G) codes; row i leans towards small choices for tilts[i] < 0, large ones for tilts[i] > 0."""
    shape = (len(tilts), len(space.genes))
    power = np.exp(-(tilts[:, None] + rng.normal(0.0, _GENE_SPREAD, size=shape)))
    drawn = np.floor(space.num_choices * rng.random(shape) ** power)
    # A tiny power rounds to 1.0, one past the last choice.
    return space.canonical(np.minimum(drawn, space.num_choices - 1).astype(np.int64))


class _Range:
    """Costs met so far: the extremes, and the nearest to the target on either side."""

    def __init__(self, target: float) -> None:
        self.target = target
        self.low, self.high = np.inf, -np.inf
        self.below, self.above = -np.inf, np.inf

    def add(self, costs: npt.NDArray[Any]) -> None:
        """Take `costs` into account."""
        self.low, self.high = min(self.low, float(costs.min())), max(self.high, float(costs.max()))
        self.below = max([self.below, *costs[costs <= self.target].tolist()])
        self.above = min([self.above, *costs[costs >= self.target].tolist()])


def _infeasible(space: SearchSpace, target: float, tolerance: float, seen: _Range) -> str:
    nearest = " and ".join(_shown(cost) for cost in (seen.below, seen.above) if np.isfinite(cost))
    return (
        f"no architecture of space {space.name!r} costs {_shown(target)} +- {100 * tolerance:g} %; "
        f"the space reaches {_shown(seen.low)} to {_shown(seen.high)}, nearest found: {nearest}"
    )


def _shown(cost: float) -> str:
    return f"{cost:,.0f}" if abs(cost) >= 1e4 else f"{cost:.6g}"
