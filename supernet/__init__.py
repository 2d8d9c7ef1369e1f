"""The weight-sharing pose network, its data and its training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._lazy import lazy_names

if TYPE_CHECKING:
    from .arch import Arch as Arch
    from .arch import Stage as Stage
    from .errors import InputError as InputError
    from .network import Supernet as Supernet
    from .space import SearchSpace as SearchSpace

__version__ = "0.1.0"

lazy_names(
    __name__,
    {"Arch": "arch", "Stage": "arch", "SearchSpace": "space", "Supernet": "network", "InputError": "errors"},
)
