"""Public names that are imported on first use (PEP 562), so that `--help` and numpy-only users stay fast."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


class LazyPackage(ModuleType):
    """A package whose public names come from its submodules on first use.

    A public name wins over a submodule of the same name (`subnets.extract` is the function, also after
    `import subnets.extract`), which the import system would otherwise bind in its place.
    """

    _lazy_names: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        if name not in self._lazy_names:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{self.__name__}.{self._lazy_names[name]}"), name)
        setattr(self, name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in self._lazy_names and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._lazy_names})


def lazy_names(package: str, modules: Mapping[str, str]) -> None:
    """Make public name `k` of `package` come from its submodule `modules[k]`."""
    module = sys.modules[package]
    module.__dict__["_lazy_names"] = modules
    module.__class__ = LazyPackage
    module.__dict__["__all__"] = sorted(modules)
