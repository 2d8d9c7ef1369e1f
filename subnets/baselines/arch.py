"""The description of a comparison network: its family, its input and the family's own numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from supernet.checks import check_keys
from supernet.checks import check_schema
from supernet.checks import positive_ints
from supernet.errors import InputError
from supernet.files import read_yaml
from supernet.files import write_yaml
from supernet.names import require_conf

SCHEMA = 1
GROUP = "baselines"


@dataclass(frozen=True)
class StaticArch:
    """A comparison network: immutable, hashable, read and written as YAML like `supernet.Arch`.

    Attributes:
        family: the name of its wiring in `subnets.baselines.families`.
        input_shape: (height, width) in pixels that it is made for.
        settings: the family's numbers (widths, depths, ...), as plain values.
    """

    family: str
    input_shape: tuple[int, int]
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def resolution(self) -> int:
        """The short side of its input in pixels."""
        return min(self.input_shape)

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> StaticArch:
        """Read a description: a name in `conf/baselines/` (`higherhrnet-w32`), a YAML file, or a folder.

        Raises:
            InputError: no such name or file, or the file describes no comparison network.
        """
        path = require_conf(GROUP, source, "comparison network")
        path = path / "arch.yaml" if path.is_dir() else path
        try:
            return cls.from_dict(read_yaml(path, "comparison network"))
        except InputError as error:
            raise InputError(f"comparison network {path}: {error}") from None

    @classmethod
    def from_dict(cls, value: Any) -> StaticArch:
        """Build one from its plain form; the settings are checked when the network is built.

        Raises:
            InputError: a key is missing, unknown or of the wrong type.
        """
        if not isinstance(value, Mapping):
            raise InputError(f"expected a mapping, found {type(value).__name__}")
        check_keys(value, required=("family", "input_shape", "settings"), optional=("schema", "about"))
        check_schema(value, SCHEMA)
        shape = positive_ints(value["input_shape"], "input_shape")
        if len(shape) != 2:
            raise InputError(f"input_shape: expected [height, width], found {list(shape)}")
        if not isinstance(value["family"], str) or not isinstance(value["settings"], Mapping):
            raise InputError("family is a name and settings a mapping")
        return cls(value["family"], (shape[0], shape[1]), dict(value["settings"]))

    def to_dict(self) -> dict[str, Any]:
        """Our plain form: what `save` writes and `from_dict` reads."""
        return {
            "schema": SCHEMA,
            "family": self.family,
            "input_shape": list(self.input_shape),
            "settings": dict(self.settings),
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write our YAML form to `path` atomically."""
        write_yaml(Path(path), self.to_dict())
