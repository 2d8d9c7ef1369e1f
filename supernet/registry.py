"""What is found by name: files that ship in `conf/`, and things of the registries.

`conf/zoo` and `conf/spaces` hold files that commands take by name or path. They are no Hydra groups, and no
config key is named like them: Hydra reads `key=value` as the choice of a group wherever a folder
`conf/<key>` exists.

A contract (family, head, refinement, cost, protocol, layout, format, source of scores, strategy, accuracy
model) has one registry. Built-in entries are named without importing them; others register when their module
is imported, which `load_plugins` does before a command opens anything.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from .errors import InputError

ENTRY_POINTS = "litepose_ofa.plugins"
T = TypeVar("T")


class Registry(Generic[T]):
    """Things of one kind by name.

    Args:
        kind: what they are called in messages (`head`, `cost`).
        built_in: where those that ship are, as `module:attribute`; imported on first use.
        check: raises InputError (without the name) if something breaks the contract of the kind.
    """

    def __init__(
        self, kind: str, built_in: Mapping[str, str], check: Callable[[T], object] = lambda item: None
    ) -> None:
        self.kind = kind
        self._places = dict(built_in)
        self._items: dict[str, T] = {}
        self._check = check

    def register(self, name: str, item: T) -> T:
        """Add `item`; the very same object again changes nothing.

        Raises:
            InputError: the name is taken by another one, or `item` breaks the contract.
        """
        if name in self._places or self._items.get(name, item) is not item:
            raise InputError(f"{self.kind} {name!r} exists already; choose another name")
        try:
            self._check(item)
        except InputError as error:
            raise InputError(f"{self.kind} {name!r}: {error}") from None
        return self._items.setdefault(name, item)

    def names(self) -> list[str]:
        """Those that ship, then those that were registered."""
        return [*self._places, *(name for name in self._items if name not in self._places)]

    def registered(self) -> list[T]:
        """Those that were registered, without importing any that ships."""
        return [item for name, item in self._items.items() if name not in self._places]

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._items

    def get(self, name: str) -> T:
        """The one called `name`.

        Raises:
            InputError: there is none; the message lists those that are known.
        """
        if name not in self._items and name in self._places:
            module, _, attribute = self._places[name].partition(":")
            self._items[name] = cast(T, getattr(importlib.import_module(module), attribute))
        if name not in self._items:
            raise InputError(
                f"{self.kind} {name!r} is not known; choose from {', '.join(self.names())} "
                "(one of your own: name its module in plugins=[...])"
            )
        return self._items[name]


def load_plugins(modules: Iterable[str]) -> None:
    """Import the modules that register what people added: those of installed packages, then those named.

    Installed packages name theirs as entry points of the group `litepose_ofa.plugins`. The present folder is
    searched as well, also by a console script, which Python starts without it.

    Raises:
        InputError: a module cannot be imported, or what it registers breaks a contract.
    """
    from importlib import metadata

    installed = [entry.module for entry in metadata.entry_points(group=ENTRY_POINTS)]
    named = list(modules)
    if named and not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    for name in (*installed, *named):
        try:
            importlib.import_module(name)
        except InputError as error:
            raise InputError(f"plugins: {name}: {error}") from None
        except Exception as error:
            hint = " (is its folder the present one, or in PYTHONPATH?)" if _is_missing(error, name) else ""
            raise InputError(f"plugins: {name} cannot be imported: {_where(error)}{hint}") from None


def _is_missing(error: Exception, name: str) -> bool:
    """Whether the plugin itself was not found, rather than something that it imports."""
    return isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")


def _where(error: Exception) -> str:
    """The error with the line of the user's file that raised it."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "importlib" not in frame.filename]
    place = f", {own[-1].filename}:{own[-1].lineno}" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def conf_folder(group: str) -> Path:
    """The folder of `conf/` that holds one group (`zoo`, `spaces`, ...)."""
    return Path(str(resources.files("conf"))) / group


def conf_names(group: str) -> list[str]:
    """The names that ship in one group of `conf/`, sorted."""
    return sorted(path.stem for path in conf_folder(group).glob("*.yaml"))


def find_conf(group: str, source: str | os.PathLike[str]) -> Path | None:
    """The file for `source`: an existing path, else a name in `conf/<group>/`; None if there is neither.

    A source that looks like a path (a separator or a suffix) is returned as it is, so that reading it
    reports the path.
    """
    path = Path(source)
    if os.path.isfile(path):  # unlike Path.is_file, False for a name that is too long
        return path
    if path.name == os.fspath(source) and not path.suffix:
        named = conf_folder(group) / f"{path.name}.yaml"
        return named if os.path.isfile(named) else None
    return path


def require_conf(group: str, source: str | os.PathLike[str], what: str) -> Path:
    """The file for `source` as `find_conf` finds it.

    Raises:
        InputError: `source` is a name that is not in the group; the message lists those that are.
    """
    path = find_conf(group, source)
    if path is None:
        known = ", ".join(conf_names(group)) or "none"
        raise InputError(f"{what} {os.fspath(source)!r} is neither a file nor a name that ships ({known})")
    return path


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
