"""Which subnets a training step runs: a function of (seed, step), the same on every rank and after a
resume.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace

import numpy as np

from .arch import Arch
from .data.plan import step_resolution
from .errors import InputError
from .genes import Gene
from .space import Codes
from .space import SearchSpace
from .train_options import SamplingOptions

# The data's order, resolution and augmentation have streams 1 to 3 of the same seed.
_ARCH_STREAM = 4
_FIXED_STREAM = 5


@dataclass(frozen=True)
class Sampled:
    """One subnet of a step.

    Attributes:
        role: "largest", "random" or "smallest".
        arch: its architecture, at the step's resolution.
    """

    role: str
    arch: Arch


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
            return self._at(step, full, ("largest",))
        rng = np.random.default_rng([self.seed, _ARCH_STREAM, step])
        drawn = self.space.sample_codes(rng, options.random)
        roles = ("random",) * options.random
        if options.rule == "sandwich":
            drawn = np.concatenate([full, drawn, np.zeros_like(full)])
            roles = ("largest", *roles, "smallest")
        closed = self._phase_of >= self.phase(step)
        return self._at(step, np.where(closed, self._full, drawn), roles)

    def _at(self, step: int, codes: Codes, roles: tuple[str, ...]) -> tuple[Sampled, ...]:
        resolution = self.resolution(step)
        archs = self.space.decode(self.space.canonical(codes))
        return tuple(Sampled(r, replace(a, resolution=resolution)) for r, a in zip(roles, archs, strict=True))


def fixed_subnets(space: SearchSpace, count: int, seed: int = 0) -> list[Arch]:
    """`count` different random architectures that validation follows through a whole run."""
    rng = np.random.default_rng([seed, _FIXED_STREAM])
    found = dict.fromkeys(space.decode(space.sample_codes(rng, 8 * count)) if count else [])
    return list(found)[:count]


def _phase(gene: Gene, order: tuple[str, ...]) -> int:
    """The place of a gene's group in the widening order; -1 for the resolution, which is always elastic."""
    if gene.name == "resolution":
        return -1
    return next((i for i, group in enumerate(order) if f".{group}" in gene.name), order.index("width"))
