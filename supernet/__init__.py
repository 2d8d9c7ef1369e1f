"""The weight-sharing pose network, its data and its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .registry import lazy_names

if TYPE_CHECKING:
    from .errors import InputError as InputError
    from .litepose.arch import Arch as Arch
    from .litepose.arch import Stage as Stage
    from .network import Supernet as Supernet
    from .space import SearchSpace as SearchSpace

__version__ = "0.1.0"

lazy_names(
    __name__,
    {
        "Arch": "litepose.arch",
        "Stage": "litepose.arch",
        "SearchSpace": "space",
        "Supernet": "network",
        "InputError": "errors",
    },
)
