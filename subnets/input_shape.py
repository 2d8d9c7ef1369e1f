"""Which inputs a network can take."""

from __future__ import annotations

from collections.abc import Sequence

from supernet.errors import InputError

from .any_arch import AnyArch
from .baselines.arch import StaticArch

# Of LitePose networks, whose coarsest maps are at 1/16.
STEP = 16
LARGEST_SIDE = 4096


def step_of(arch: AnyArch) -> int:
    """What both sides of the input of `arch` are multiples of."""
    from .baselines.families import family_of

    return family_of(arch).step_of(arch) if isinstance(arch, StaticArch) else STEP


def check_input_shape(shape: Sequence[int], step: int = STEP) -> tuple[int, int]:
    """`shape` (height, width) if it is a multiple of `step` on both sides.

    Raises:
        InputError: it is not, or it is larger than 4096 on a side.
    """
    if len(shape) != 2 or any(not 0 < side <= LARGEST_SIDE or side % step for side in shape):
        raise InputError(
            f"input_shape={list(shape)} must be two multiples of {step} up to {LARGEST_SIDE}: height, width"
        )
    return shape[0], shape[1]
