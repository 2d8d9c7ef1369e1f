"""Multiply-accumulates and parameters: closed form for one architecture, tables for many.

Two conventions. `exact` counts the multiply-accumulates of convolutions and transposed convolutions, as
fvcore's convolution total does. `litepose` repeats the paper's own counting: a transposed convolution at its
output positions, plus 2 per batch-norm output element and 1 per activation output element.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import numpy.typing as npt

from .additive import AdditiveTable
from .arch import Arch
from .errors import InputError
from .space import Codes
from .space import SearchSpace
from .topology import Layer
from .topology import layers

Convention = Literal["exact", "litepose"]
CONVENTIONS: tuple[Convention, ...] = ("exact", "litepose")


def check_convention(convention: str) -> Convention:
    """`convention` if it is one of the two, else InputError."""
    for known in CONVENTIONS:
        if convention == known:
            return known
    raise InputError(f"convention {convention!r} is not known; choose one of {', '.join(CONVENTIONS)}")


def layer_params(layer: Layer) -> int:
    """Trainable parameters of one layer."""
    return layer_weights(layer) + 2 * layer.norm * layer.out_channels


def layer_weights(layer: Layer) -> int:
    """Weights of the layer's convolution (0 for a bare norm)."""
    if layer.kind == "norm":
        return 0
    return layer.in_channels // layer.groups * layer.out_channels * layer.kernel**2


def layer_macs(layer: Layer, height: int, width: int, convention: Convention) -> int:
    """MACs of one layer for an input image of `height` x `width` pixels (multiples of 16)."""
    positions = (height // layer.scale) * (width // layer.scale)
    weights = layer_weights(layer)
    if convention == "exact":
        # A transposed convolution multiplies each INPUT position by the whole kernel.
        return weights * (positions // layer.stride**2 if layer.kind == "deconv" else positions)
    elementwise = 2 * layer.norm + (layer.activation is not None)
    return weights * positions + elementwise * layer.out_channels * positions


def count_macs(
    arch: Arch,
    num_joints: int = 14,
    convention: str = "exact",
    input_shape: tuple[int, int] | None = None,
) -> int:
    """MACs of one forward pass of one image.

    Args:
        arch: the architecture.
        num_joints: J, the number of joints.
        convention: `exact` or `litepose`.
        input_shape: (height, width) of the padded input in pixels, multiples of 16; default the square input.

    Raises:
        InputError: unknown convention, or an input shape that the network cannot take.
    """
    checked = check_convention(convention)
    height, width = input_size(arch, input_shape)
    return sum(layer_macs(layer, height, width, checked) for layer in layers(arch, num_joints))


def input_size(arch: Arch, input_shape: tuple[int, int] | None = None) -> tuple[int, int]:
    """(height, width) in pixels of the input: `input_shape`, or the square of the architecture's resolution.

    Raises:
        InputError: the network cannot take that shape.
    """
    height, width = input_shape or (arch.resolution, arch.resolution)
    if height <= 0 or width <= 0 or height % 16 or width % 16:
        raise InputError(f"input shape {height}x{width} is not a positive multiple of 16 on both sides")
    return height, width


def count_params(arch: Arch, num_joints: int = 14) -> int:
    """Trainable parameters (convolution weights, batch-norm weights and biases)."""
    return sum(layer_params(layer) for layer in layers(arch, num_joints))


def padded_shape(resolution: int, image_height: int, image_width: int) -> tuple[int, int]:
    """(height, width) of an image's test-time input: short side `resolution`, long side a multiple of 64."""
    short, long = sorted((image_height, image_width))
    # Integers throughout: a float ratio rounds 512 * 640 / 480 up once in a while.
    padded = -(-resolution * long // (short * 64)) * 64
    return (resolution, padded) if image_height <= image_width else (padded, resolution)


class MacsTable:
    """MACs of many architectures at once, exact."""

    def __init__(self, space: SearchSpace, num_joints: int = 14, convention: str = "exact") -> None:
        checked = check_convention(convention)

        def cost(resolution: int, group: Iterable[Layer]) -> int:
            return sum(layer_macs(layer, resolution, resolution, checked) for layer in group)

        self._table = AdditiveTable(space, num_joints, cost, dtype=np.int64)

    def predict(self, codes: Codes) -> npt.NDArray[np.int64]:
        """(N,) MACs of (N, G) codes."""
        return self._table.predict(codes)


class ParamsTable:
    """Trainable parameters of many architectures at once, exact."""

    def __init__(self, space: SearchSpace, num_joints: int = 14) -> None:
        def cost(resolution: int, group: Iterable[Layer]) -> int:
            return sum(layer_params(layer) for layer in group)

        self._table = AdditiveTable(space, num_joints, cost, dtype=np.int64)

    def predict(self, codes: Codes) -> npt.NDArray[np.int64]:
        """(N,) parameters of (N, G) codes."""
        return self._table.predict(codes)
