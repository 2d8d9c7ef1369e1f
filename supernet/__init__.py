"""The weight-sharing pose network, its data and its training."""

from __future__ import annotations

from ._lazy import lazy_names

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "Arch": "arch",
        "Stage": "arch",
        "SearchSpace": "space",
        "Supernet": "network",
        "InputError": "errors",
    },
)
