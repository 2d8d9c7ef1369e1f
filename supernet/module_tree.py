"""Modules under dotted names, as the wiring calls them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from typing import Generic
from typing import TypeVar
from typing import cast

from torch import nn

from .topology import Layer

M = TypeVar("M", bound=nn.Module)


class ModuleTree(nn.Module, Generic[M]):
    """One module for each layer of a network, registered under the layer's dotted name."""

    def __init__(self, layers: Iterable[Layer], build: Callable[[Layer], M]) -> None:
        super().__init__()
        self._places: dict[str, tuple[nn.Module, str]] = {}
        for layer in layers:
            *path, leaf = layer.name.split(".")
            parent: nn.Module = self
            for part in path:
                if part not in parent._modules:
                    parent.add_module(part, nn.Module())
                parent = cast(nn.Module, parent._modules[part])
            parent.add_module(leaf, build(layer))
            self._places[layer.name] = (parent, leaf)

    def unit(self, name: str) -> M:
        """The module of the layer `name` (also one that replaced the first)."""
        parent, leaf = self._places[name]
        return cast(M, parent._modules[leaf])
