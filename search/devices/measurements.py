"""What a device took for parts and whole networks, as a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from supernet.errors import InputError, check_keys, check_schema, positive_int, shown
from supernet.runs.files import read_json, write_json
from supernet.space import Codes, SearchSpace

from ..strategies.operators import as_codes
from .board_script import visit_order

Floats = npt.NDArray[np.float64]
# Visits over which speed is averaged, as a standard deviation.
WIDTH = 8.0
# A single visit says no more than this about the speed around it (logarithm).
LIMIT = 0.3
ITERATIONS = 5


def without_drift(milliseconds: Floats, things: npt.NDArray[np.int64]) -> Floats:
    """Times as they would have been at the measurement's mean speed.

    A clock that changes, heat, or a neighbour on the same machine slow everything for seconds to minutes.
    Since many things are visited in turn, in another order every round, that shows as visits which are all
    slower than the same things' other visits.

    Args:
        milliseconds: (V,) times in the order in which they were measured.
        things: (V,) what was timed, 0 .. N - 1; each at least twice.

    Returns:
        (V,) times; the mean of their logarithms is that of the given ones.
    """
    logs = np.log(milliseconds)
    visits = [np.flatnonzero(things == thing) for thing in range(things.max() + 1)]
    drift = np.zeros(len(logs))
    for _ in range(ITERATIONS):
        own = np.empty(len(logs))
        for places in visits:
            own[places] = np.median(logs[places] - drift[places])
        drift = gaussian_filter1d(np.clip(logs - own, drift - LIMIT, drift + LIMIT), WIDTH, mode="nearest")
        drift -= drift.mean()
    return np.asarray(np.exp(logs - drift))


def steady_rounds(times: Floats) -> Floats:
    """(N, R) times of N things in R rounds (`board_script.time_rounds`) without drift."""
    order = np.array(visit_order(*times.shape))
    places = order, np.arange(times.shape[1])[:, None]
    found = np.empty_like(times)
    found[places] = without_drift(times[places].ravel(), order.ravel()).reshape(order.shape)
    return found


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
        own: where the parts are another device's, those that were measured on this one, without networks.

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
    own: Measurements | None = None

    def __post_init__(self) -> None:
        for times in (self.parts, self.networks):
            if not (np.isfinite(times) & (times > 0)).all():
                raise InputError("a time is not a positive number of milliseconds")
        rounds = {times.shape[1] for times in (self.parts, self.networks) if len(times)}
        if not len(self.parts) or (len(rounds) > 1 and not self.has_prior) or min(rounds) < 2:
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
                "parts": self._part_rows(),
                **({"own parts": self.own._part_rows()} if self.own else {}),
                "networks": [
                    [row, [round(value, 6) for value in times]]
                    for row, times in zip(self.codes.tolist(), self.networks.tolist(), strict=True)
                ],
            },
            indent=None,
        )

    def _part_rows(self) -> list[list[Any]]:
        rows = zip(self.sources.tolist(), self.places, self.parts.tolist(), strict=True)
        return [[row, place, [round(value, 6) for value in times]] for row, place, times in rows]

    @property
    def has_prior(self) -> bool:
        """Whether the parts are those of another device (see `on_another_device`)."""
        return "prior" in self.about

    def on_another_device(
        self,
        space: SearchSpace,
        codes: Codes,
        networks: Floats,
        about: Mapping[str, Any],
        own: Measurements | None = None,
    ) -> Measurements:
        """These parts with (N, R) times of networks, (N, G) codes of `space`, on the device of `about`.

        `own` are the parts that were measured there, if any.
        """
        told = {key: self.about.get(key) for key in ("device", "runtime", "threads", "date")}
        rows = self.space.encode(space.decode(codes))
        if own is not None:
            own = replace(own, space=self.space, sources=self.space.encode(space.decode(own.sources)))
            own = replace(own, codes=rows[:0], networks=networks[:0])
        return replace(self.steady(), about={**about, "prior": told}, codes=rows, networks=networks, own=own)

    def steady(self) -> Measurements:
        """The same without slow changes of the device's speed; of everything that one run measured."""
        parts = self.own.parts if self.own else self.parts[:0] if self.has_prior else self.parts
        rows = steady_rounds(np.vstack([parts, self.networks]) if len(parts) else self.networks)
        parts, networks = np.split(rows, [len(parts)])
        if not self.has_prior:
            return replace(self, parts=parts, networks=networks)
        own = replace(self.own, parts=parts) if self.own else None
        return replace(self, networks=networks, own=own)

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
            check_keys(value, required=keys, optional=("own parts",))
            return cls._parse(value)
        except InputError as error:
            raise InputError(f"latency table {path}: {error}") from None

    @classmethod
    def _parse(cls, value: Mapping[str, Any]) -> Measurements:
        space = SearchSpace.from_dict(value["space"])
        try:
            measured = [_parts(rows, space) for rows in (value["parts"], value.get("own parts", []))]
            codes = _codes([row for row, _ in value["networks"]], space)
            networks = _times([times for _, times in value["networks"]])
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"its measurements are damaged ({error})") from None
        joints = positive_int(value["num_joints"], "num_joints")
        about = value["about"]
        if not isinstance(about, Mapping):
            raise InputError(f"about: expected a mapping, found {shown(about)}")
        if not all(isinstance(place, int) for _, places, _ in measured for place in places):
            raise InputError("a part's place in its network is no whole number")
        parts, others = measured
        own = cls(space, joints, about, *others, codes[:0], networks[:0]) if len(others[0]) else None
        return cls(space, joints, about, *parts, codes, networks, own)


def _parts(rows: Sequence[Any], space: SearchSpace) -> tuple[Codes, tuple[int, ...], Floats]:
    sources, times = _codes([row for row, _, _ in rows], space), _times([times for _, _, times in rows])
    return sources, tuple(place for _, place, _ in rows), times


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
