"""Architectures that a search is told by name: warm starts, and the released ones to compare with."""

from __future__ import annotations

import logging
from pathlib import Path

from supernet.arch import Arch
from supernet.errors import InputError
from supernet.files import read_json
from supernet.names import conf_names
from supernet.space import SearchSpace

from .code_checks import as_codes

_LOG = logging.getLogger(__name__)

Named = tuple[tuple[str, tuple[int, ...]], ...]


def released(space: SearchSpace) -> Named:
    """The zoo's architectures that are in the space."""
    archs = {name: Arch.load(name) for name in conf_names("zoo")}
    inside = [(name, arch) for name, arch in archs.items() if space.contains(arch)]
    return tuple((name, tuple(space.encode([arch])[0].tolist())) for name, arch in inside)


def warm_start(sources: list[str], space: SearchSpace) -> Named:
    """The architectures of `search.warm_start`, with their names.

    Raises:
        InputError: one of them is missing, damaged, or not in the space.
    """
    found: list[tuple[str, tuple[int, ...]]] = []
    for source in sources:
        if source.endswith(".json") and Path(source).name.startswith("candidates"):
            found += _front_of(source, space)
            continue
        arch = Arch.load(source)
        if Path(source, "model.safetensors").exists():
            _LOG.warning(
                "search.warm_start: %s is evaluated with this supernet's weights, not its own", source
            )
        reason = space.mismatch(arch)
        if reason is not None:
            raise InputError(f"search.warm_start: {source} is not in space {space.name!r}: {reason}")
        found.append((Path(source).stem, tuple(space.encode([arch])[0].tolist())))
    return tuple(found)


def _front_of(source: str, space: SearchSpace) -> list[tuple[str, tuple[int, ...]]]:
    """The front of another search, whose space may differ as long as the architectures are in this one."""
    value = read_json(source, "candidates of a search")
    try:
        other = SearchSpace.from_dict(value["space"])
        front = set(value["front"])
        rows = [candidate["codes"] for candidate in value["candidates"] if candidate["number"] in front]
    except (KeyError, TypeError):
        raise InputError(f"{source} holds no candidates of a search") from None
    codes = as_codes(other, rows, f"the codes in {source}")
    if not len(codes):
        raise InputError(f"search.warm_start: the front in {source} is empty")
    archs = [arch for arch in other.decode(codes) if space.contains(arch)]
    if not archs:
        raise InputError(f"search.warm_start: nothing on the front in {source} is in space {space.name!r}")
    return [(f"{source}", tuple(row)) for row in space.encode(archs).tolist()]
