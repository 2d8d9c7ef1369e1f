"""Settings that the commands on networks share; no heavy imports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from supernet.errors import InputError
from supernet.options import Options


@dataclass
class SourceOptions(Options):
    """What to open besides the architecture itself.

    Attributes:
        weights: file of released LitePose weights (.pth or .safetensors) for an architecture given by name
            or file.
        supernet: a training run whose supernet gives the weights of an architecture given by name or file,
            or of its `largest` or `smallest`.
        skeleton: joint layout of a network that does not say its own.
    """

    weights: str | None = None
    supernet: str | None = None
    skeleton: str = "crowdpose"


def as_list(value: Any, what: str) -> list[str]:
    """`a`, `a,b` or `[a, b]` of the command line as a list of texts.

    Raises:
        InputError: it is empty or something else.
    """
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not items or not all(i and isinstance(i, str) for i in items):
        raise InputError(f"{what}={value!r} must be one or more names, such as {what}=[a,b]")
    return list(dict.fromkeys(item.strip() for item in items))
