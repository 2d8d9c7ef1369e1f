"""Which convolutions a batch norm folds into, derived from the wiring."""

from __future__ import annotations

from functools import lru_cache

from supernet.arch import Arch
from supernet.topology import layers
from supernet.topology import wire


@lru_cache(maxsize=256)
def norm_sources(arch: Arch, num_joints: int) -> dict[str, tuple[str, ...]]:
    """For every layer with a batch norm, the convolutions whose sum it normalises.

    That is the layer's own convolution, or for a bare norm the two deconvolutions that are added before it.
    """
    known = {layer.name: layer for layer in layers(arch, num_joints)}
    found: dict[str, tuple[str, ...]] = {}

    # The value that flows is the convolutions whose sum it is.
    def apply(name: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        layer = known[name]
        if layer.norm:
            found[name] = sources if layer.kind == "norm" else (name,)
        return (name,)

    images: tuple[str, ...] = ()
    wire(arch, apply, lambda a, b: a + b, images)
    return found


def biased_layers(arch: Arch, num_joints: int) -> frozenset[str]:
    """The convolutions that carry a bias once norms are folded: the first of each norm's sources."""
    return frozenset(sources[0] for sources in norm_sources(arch, num_joints).values())
