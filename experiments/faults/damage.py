"""Seeded damage to the values of a document and to any bytes.

Every function takes a `numpy.random.Generator` first and draws from nothing else.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np

Rng = np.random.Generator
MARKER = "CODE_WAS_RUN"


def junk(rng: Rng, old: Any = None) -> Any:
    """A value that does not belong: of a wrong type, out of range, or close to the old one."""
    wrong = [
        None, "", "x", "nan", [], {}, [1], [[]], {"id": 1}, True, False, 0, -1, 1, 3, 0.5, -0.0, 1e-300,
        10**6, 2**31, 2**63, 10**30, 1e300, float("nan"), float("inf"), float("-inf"), "x" * 300, "../../x",
        "/dev/zero", "a\x00b", "\ud7ff\U0001f600", "${oc.env:HOME}", [None] * 3, nested(60), [0] * 5000,
    ]  # fmt: skip
    near = []
    if isinstance(old, bool):
        near = [not old, int(old), str(old)]
    elif isinstance(old, int | float):
        near = [-old, old + 1, old * 10, float(old), str(old), [old]]
    elif isinstance(old, str):
        near = [old.upper(), old[: len(old) // 2], old + " ", [old], {old: old}, old[::-1]]
    elif isinstance(old, list):
        near = [old[:-1], old + old, old[::-1], dict(enumerate(map(str, range(len(old))))), old * 50]
    elif isinstance(old, dict):
        near = [
            list(old),
            list(old.values()),
            {**old, "unknown": 1},
            {str(k).upper(): v for k, v in old.items()},
        ]
    choices = near if near and rng.random() < 0.4 else wrong
    return copy.deepcopy(choices[rng.integers(len(choices))])


def nested(depth: int) -> list[Any]:
    """Lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def places(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = []
    for key, inner in items:
        found.append((*prefix, key))
        found += places(inner, (*prefix, key))
    return found


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def pick(rng: Rng, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def document(rng: Rng, value: Any) -> tuple[Any, str]:
    """`value` with one thing wrong, and what that is."""
    value = copy.deepcopy(value)
    known = places(value)
    if not known or rng.random() < 0.03:
        return junk(rng, value), "the whole replaced"
    # Shallow places matter as much as the many deep ones.
    depth = int(rng.integers(1, 1 + max(map(len, known))))
    path = pick(rng, [place for place in known if len(place) == depth])
    holder, last = at(value, path[:-1]), path[-1]
    where = ".".join(map(str, path))
    kind = int(rng.integers(8))
    if kind == 0:
        del holder[last]
        return value, f"{where} deleted"
    if kind == 1 and isinstance(holder, dict):
        holder[f"{last}_"] = holder.pop(last)
        return value, f"{where} renamed"
    if kind == 2 and isinstance(holder, list):
        holder.insert(last, copy.deepcopy(holder[last]))
        return value, f"{where} doubled"
    if kind == 3:
        other = pick(rng, known)
        holder[last] = copy.deepcopy(at(value, other))
        return value, f"{where} replaced by {'.'.join(map(str, other))}"
    if kind == 4 and isinstance(holder, dict):
        holder[pick(rng, ["extra", "schema", "", "__class__", "_target_", 7])] = junk(rng)
        return value, f"a key added beside {where}"
    holder[last] = junk(rng, holder[last])
    return value, f"{where} replaced by {str(holder[last])[:40]}"


def raw(rng: Rng, data: bytes) -> tuple[bytes, str]:
    """`data` with its bytes damaged."""
    size, out = len(data), bytearray(data)
    where = int(rng.integers(size)) if size else 0
    # Half of the time near the front, where headers are.
    if rng.random() < 0.5:
        where = min(where, int(rng.integers(1, 200)))
    kind = int(rng.integers(10))
    if kind == 0 or not size:
        return b"", "empty"
    if kind == 1:
        return bytes(out[:where]), f"cut at {where}"
    if kind == 2:
        count = int(rng.integers(1, 40))
        del out[where : where + count]
        return bytes(out), f"{count} bytes removed at {where}"
    if kind == 3:
        out[where:where] = rng.bytes(int(rng.integers(1, 40)))
        return bytes(out), f"bytes inserted at {where}"
    if kind == 4:
        out[where : where + 64] = bytes(len(out[where : where + 64]))
        return bytes(out), f"zeros at {where}"
    if kind == 5:
        return rng.bytes(min(size, 4096)), "random bytes"
    if kind == 6:
        return bytes(out) + bytes(out[where:]), f"its end from {where} doubled"
    for spot in {where, *(int(rng.integers(size)) for _ in range(int(rng.integers(0, 3))))}:
        out[spot] ^= 1 << int(rng.integers(8))
    return bytes(out), f"bits flipped, the first at {where}"


def of_bytes(damage: str) -> bool:
    """Whether what `raw` (or a flipped bit of a tensor) did is meant."""
    return (
        re.match(r"cut at|bits flipped|zeros at|\d+ bytes removed|bytes inserted|its end|a bit of", damage)
        is not None
    )
