"""Whether two runtimes compute the same network."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence

import numpy as np

from supernet.cost import padded_shape
from supernet.errors import InputError

from .runtime import Floats
from .runtime import Run

TINY = float(np.finfo(np.float32).tiny)
Shape = tuple[int, int, int, int]


def comparison_shapes(resolution: int, input_shape: tuple[int, int] | None) -> list[Shape]:
    """Inputs to compare on: the only one that fits, or the square, a landscape pair and a portrait image."""
    if input_shape is not None:
        return [(1, 3, *input_shape)]
    landscape = padded_shape(resolution, 480, 640)
    portrait = padded_shape(resolution, 640, 480)
    return [(1, 3, resolution, resolution), (2, 3, *landscape), (1, 3, *portrait)]


def normal_inputs(shapes: Iterable[Shape], seed: int = 0) -> list[Floats]:
    """Standard normal images of the `shapes`, as normalised photographs roughly are."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def relative_difference(found: Sequence[Floats], wanted: Sequence[Floats]) -> float:
    """Largest absolute difference between two lists of outputs, relative to the largest of `wanted`, per
    output.

    Infinite when shapes differ or a value is not finite.
    """
    if [value.shape for value in found] != [value.shape for value in wanted]:
        return float("inf")
    worst = 0.0
    for have, want in zip(found, wanted, strict=True):
        difference = float(np.abs(have - want).max())
        if not np.isfinite(difference):
            return float("inf")
        worst = max(worst, difference / max(float(np.abs(want).max()), TINY))
    return worst


def largest_difference(run: Run, reference: Run, inputs: Iterable[Floats]) -> float:
    """`relative_difference` of two runtimes, the worst over `inputs`."""
    return max(relative_difference(run(images), reference(images)) for images in inputs)


def require_same(what: str, difference: float, tolerance: float) -> None:
    """Raise InputError unless `difference` is within `tolerance`."""
    if not difference <= tolerance:
        raise InputError(
            f"{what} differs from torch by {difference:.1e} of the largest output (allowed {tolerance:.0e}); "
            "nothing was written"
        )
