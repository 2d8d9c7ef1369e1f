"""A small space evaluated exhaustively once: searches on it cost nothing, and the true front is known."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search.costs.budgets import BudgetOptions, resolve_budgets
from search.costs.contract import Costs, CostSettings, Floats
from search.strategies.contract import Problem
from search.strategies.front import hypervolume_2d
from supernet.errors import InputError
from supernet.family import Architecture
from supernet.runs.reading import read_bytes
from supernet.space import Codes, SearchSpace


@dataclass(frozen=True)
class Scored:
    """A looked-up evaluation."""

    stats: Mapping[str, float]


class TabularBenchmark:
    """Scores of every architecture of a space.

    Attributes:
        space: the space.
        codes: (N, G) all its architectures.
        ap: (N,) their AP in [0, 1].
        macs: (N,) their MACs.
    """

    def __init__(self, space: SearchSpace, codes: Codes, ap: Floats, num_joints: int = 14) -> None:
        space.check_codes(codes)
        matches = ap.shape == (len(codes),)
        known = len(np.unique(codes[np.isfinite(ap)], axis=0)) if matches else 0
        if known != len(codes) or known != space.size():
            raise InputError(
                f"space {space.name!r} has {space.size()} architectures, of which {known} were evaluated"
            )
        self.space = space
        self.codes = codes = codes.astype(np.int64)
        self.ap = ap
        self.costs = Costs.of(space, CostSettings(num_joints))
        self.macs = self.costs.predict(codes)[:, 0]
        self._ap_of = {row.tobytes(): float(value) for row, value in zip(codes, ap, strict=True)}

    @classmethod
    def load(cls, path: str | os.PathLike[str], space: SearchSpace, metric: str = "AP") -> TabularBenchmark:
        """Read what `experiments/search/make_tabular.py` wrote for `space`.

        Args:
            path: the archive.
            space: whose architectures it holds.
            metric: which of its metrics is searched: AP, AP50, AR, AP_first_half, AP_second_half.

        Raises:
            InputError: the file is missing or damaged, lacks the metric, or is not of this space.
        """
        data = read_bytes(path, "tabular benchmark")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                codes, scores = file["codes"], file["scores"].astype(np.float64, casting="same_kind")
                column = file["metrics"].tolist().index(metric)
                ap = scores[:, column]
        # A damaged archive ends in whatever numpy, zipfile or the parser of its headers raise.
        except Exception as error:
            raise InputError(f"tabular benchmark {path} cannot be read: {str(error)[:100]}") from None
        if ((ap > 1) | ((ap < 0) & (ap != -1))).any():
            raise InputError(
                f"tabular benchmark {path}: {metric} is out of [0, 1]; -1 says that nobody counted"
            )
        try:
            return cls(space, codes, ap)
        except InputError as error:
            raise InputError(f"tabular benchmark {path}: {error}") from None

    def __call__(self, arch: Architecture) -> Scored:
        """The score of one architecture."""
        return Scored({"AP": self._ap_of[self.space.encode([arch])[0].tobytes()]})

    def lookup(self, codes: Codes) -> Floats:
        """(M,) AP of (M, G) codes."""
        return np.array([self._ap_of[row.tobytes()] for row in np.ascontiguousarray(codes)])

    def problem(self, shares: Sequence[float]) -> Problem:
        """The search for budgets that are shares of the largest subnet's MACs."""
        options = BudgetOptions({"macs": tuple(shares)})
        return Problem(self.costs, tuple(resolve_budgets(options, self.costs)))

    def hypervolume(self, codes: Codes) -> float:
        """Area under the front of (M, G) codes as a share of the true front's.

        Axes: logarithm of MACs, and AP, both scaled to the space's range; reference: most MACs, worst AP.
        """
        return hypervolume_2d(self._points(codes), (1.0, 0.0)) / self._whole

    @cached_property
    def _whole(self) -> float:
        return hypervolume_2d(self._points(self.codes), (1.0, 0.0))

    def _points(self, codes: Codes) -> Floats:
        low, high = np.log(self.macs.min()), np.log(self.macs.max())
        cost = (np.log(self.costs.predict(codes)[:, 0]) - low) / (high - low)
        ap = (self.lookup(codes) - self.ap.min()) / np.ptp(self.ap)
        return np.column_stack([cost, -ap])

    def regrets(self, codes: Codes, shares: Sequence[float]) -> Floats:
        """(B,) AP that the best of (M, G) codes within each budget lacks to the best there is."""
        macs, ap = self.costs.predict(codes)[:, 0], self.lookup(codes)
        found = []
        for share in shares:
            limit = share * self.macs.max() * (1 + 1e-12)
            best = float(ap[macs <= limit].max(initial=float(self.ap.min())))
            found.append(float(self.ap[self.macs <= limit].max()) - best)
        return np.array(found)
