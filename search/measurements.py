"""What a device took for parts and whole networks, as a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from supernet.checks import check_keys
from supernet.checks import check_schema
from supernet.checks import positive_int
from supernet.checks import shown
from supernet.errors import InputError
from supernet.files import read_json
from supernet.files import write_json
from supernet.space import Codes
from supernet.space import SearchSpace

from .code_checks import as_codes
from .drift import steady_rounds

Floats = npt.NDArray[np.float64]
SCHEMA = 1
KIND = "litepose-ofa latency"


@dataclass(frozen=True)
class Measurements:
    """Times in milliseconds as they were measured, one column per round.

    Attributes:
        space: whose parts and networks were measured.
        num_joints: J.
        about: device, runtime, threads, precision, date and so on.
        sources: (P, G) codes; part i is part number `places[i]` of architecture `sources[i]`.
        places: (P,).
        parts: (P, R) times of the parts.
        codes: (N, G) whole networks.
        networks: (N, R) their times.

    Raises:
        InputError: a time is not positive, or there are fewer than two rounds of all.
    """

    space: SearchSpace
    num_joints: int
    about: Mapping[str, Any]
    sources: Codes
    places: tuple[int, ...]
    parts: Floats
    codes: Codes
    networks: Floats

    def __post_init__(self) -> None:
        for times in (self.parts, self.networks):
            if not (np.isfinite(times) & (times > 0)).all():
                raise InputError("a time is not a positive number of milliseconds")
        rounds = {times.shape[1] for times in (self.parts, self.networks) if len(times)}
        if not len(self.parts) or len(rounds) != 1 or min(rounds) < 2:
            raise InputError("parts and networks need two or more rounds of times, as many of each")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to `path` atomically."""
        write_json(
            path,
            {
                "schema": SCHEMA,
                "kind": KIND,
                "about": dict(self.about),
                "num_joints": self.num_joints,
                "space": self.space.to_dict(),
                "parts": [
                    [row, place, [round(value, 6) for value in times]]
                    for row, place, times in zip(
                        self.sources.tolist(), self.places, self.parts.tolist(), strict=True
                    )
                ],
                "networks": [
                    [row, [round(value, 6) for value in times]]
                    for row, times in zip(self.codes.tolist(), self.networks.tolist(), strict=True)
                ],
            },
            indent=None,
        )

    def steady(self) -> Measurements:
        """The same without slow changes of the device's speed; of everything that one run measured."""
        rows = steady_rounds(np.vstack([self.parts, self.networks]))
        parts, networks = np.split(rows, [len(self.parts)])
        return replace(self, parts=parts, networks=networks)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Measurements:
        """Read what `save` wrote.

        Raises:
            InputError: the file is missing, damaged, or no latency table.
        """
        value = read_json(path, "latency table")
        try:
            if not isinstance(value, Mapping) or value.get("kind") != KIND:
                raise InputError("it was not written by search.profile")
            check_schema(value, SCHEMA)
            keys = ("schema", "kind", "about", "num_joints", "space", "parts", "networks")
            check_keys(value, required=keys)
            return cls._parse(value)
        except InputError as error:
            raise InputError(f"latency table {path}: {error}") from None

    @classmethod
    def _parse(cls, value: Mapping[str, Any]) -> Measurements:
        space = SearchSpace.from_dict(value["space"])
        try:
            sources = _codes([row for row, _, _ in value["parts"]], space)
            parts = _times([times for _, _, times in value["parts"]])
            places = tuple(place for _, place, _ in value["parts"])
            codes = _codes([row for row, _ in value["networks"]], space)
            networks = _times([times for _, times in value["networks"]])
        except (TypeError, ValueError) as error:
            raise InputError(f"its measurements are damaged ({error})") from None
        joints = positive_int(value["num_joints"], "num_joints")
        about = value["about"]
        if not isinstance(about, Mapping):
            raise InputError(f"about: expected facts by name, found {shown(about)}")
        if not all(isinstance(place, int) for place in places):
            raise InputError("a part's place in its network is no whole number")
        return cls(space, joints, about, sources, places, parts, codes, networks)


def _codes(rows: Sequence[Any], space: SearchSpace) -> Codes:
    return as_codes(space, rows, "its networks")


def _times(rows: Sequence[Any]) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1 if len(rows) else 0)


def middle(times: Floats) -> Floats:
    """(N,) medians over the rounds of (N, R) times."""
    return np.asarray(np.median(times, axis=1), dtype=np.float64)


def retest_spread(times: Floats) -> Floats:
    """(N,) relative difference between the first and the second half of the rounds, each by its median."""
    half = times.shape[1] // 2
    return np.asarray(np.abs(middle(times[:, :half]) - middle(times[:, half:])) / middle(times))
