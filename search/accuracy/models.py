"""The small models that an accuracy predictor chooses from: (N, F) features to AP with an uncertainty."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from sklearn.linear_model import BayesianRidge

from supernet.registry import Registry
from supernet.space import Codes, SearchSpace

from ..costs.tables import Costs

Floats = npt.NDArray[np.float64]


class Features:
    """(N, F) features of codes: sizes per gene, sums per stage, and the logarithms of the costs.

    Every feature of size runs from 0 (smallest choice) to 1 (largest), logarithmic in the choice where
    that spans a factor of two or more per step, so that distances mean the same along all of them. Genes
    of absent blocks are 0.
    """

    def __init__(self, space: SearchSpace, costs: Costs) -> None:
        self._space = space
        self._costs = costs
        self._free = np.flatnonzero(space.num_choices > 1)
        self._scales = [_unit_scale(space.genes[column].choices) for column in self._free]
        self._stages = [
            [i for i, gene in enumerate(space.genes) if gene.depth == depth]
            for depth in dict.fromkeys(gene.depth for gene in space.genes if gene.depth is not None)
        ]
        self._span = _log_span(costs)

    def __call__(self, codes: Codes) -> Floats:
        """(N, F) features of (N, G) codes."""
        active = self._space.active(codes)
        columns = [
            np.where(active[:, column], scale[codes[:, column]], 0.0)
            for column, scale in zip(self._free, self._scales, strict=True)
        ]
        values = {int(column): value for column, value in zip(self._free, columns, strict=True)}
        for genes in self._stages:
            chosen = [values[gene] for gene in genes if gene in values]
            if chosen:
                columns.append(np.sum(chosen, axis=0) / len(chosen))
        low, width = self._span
        logs = (np.log(np.maximum(self._costs.predict(codes), 1e-12)) - low) / width
        return np.column_stack([*columns, logs])


def _unit_scale(choices: tuple[int, ...]) -> Floats:
    sizes = np.array(choices, dtype=np.float64)
    # A switch has no size: its choices are 0 and 1.
    values = np.log(sizes) if sizes[0] else sizes
    scale: Floats = (values - values[0]) / (values[-1] - values[0])
    return scale


def _log_span(costs: Costs) -> tuple[Floats, Floats]:
    low, high = np.log(np.maximum(costs.of_smallest(), 1e-12)), np.log(np.maximum(costs.of_largest(), 1e-12))
    return low, np.where(high > low, high - low, 1.0)


class Model(Protocol):
    """A regression with an uncertainty."""

    def fit(self, x: Floats, y: Floats) -> Model:
        """Learn from (N, F) features and (N,) values."""

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation, (N,) each."""


class Ridge:
    """Bayesian ridge regression on the features and their squares (MacKay 1992)."""

    def __init__(self, seed: int = 0) -> None:
        self._model = BayesianRidge()

    def fit(self, x: Floats, y: Floats) -> Ridge:
        """See `Model`."""
        self._center, self._y_center, self._y_scale = x.mean(axis=0), y.mean(), y.std() or 1.0
        self._model.fit(self._expand(x), (y - self._y_center) / self._y_scale)
        return self

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """See `Model`."""
        mean, deviation = self._model.predict(self._expand(x), return_std=True)
        return mean * self._y_scale + self._y_center, deviation * self._y_scale

    def _expand(self, x: Floats) -> Floats:
        centred = x - self._center
        return np.column_stack([centred, centred**2])


class GaussianProcess:
    """Linear plus squared-exponential kernel, hyperparameters by marginal likelihood (Rasmussen & Williams
    2006).
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, x: Floats, y: Floats) -> GaussianProcess:
        """See `Model`."""
        kernel = (
            ConstantKernel(1.0, (1e-3, 1e3)) * RBF(self._length_scales(x.shape[1]), (0.3, 100.0))
            + ConstantKernel(1.0, (1e-3, 1e3)) * DotProduct(1.0, sigma_0_bounds="fixed")
            + WhiteKernel(0.05, (1e-5, 1.0))
        )
        self._model = GaussianProcessRegressor(kernel, random_state=self._seed)
        self._center, self._y_center, self._y_scale = x.mean(axis=0), y.mean(), y.std() or 1.0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(x - self._center, (y - self._y_center) / self._y_scale)
        return self

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """See `Model`."""
        mean, deviation = self._model.predict(x - self._center, return_std=True)
        return mean * self._y_scale + self._y_center, deviation * self._y_scale

    def _length_scales(self, features: int) -> float | Floats:
        return 3.0


class RelevanceGaussianProcess(GaussianProcess):
    """The same with a length scale per feature, automatic relevance determination (Rasmussen & Williams 2006,
    section 5.1).
    """

    def _length_scales(self, features: int) -> Floats:
        return np.full(features, 3.0)


class Forest:
    """Extremely randomised trees; the spread over trees is the uncertainty (Geurts et al. 2006)."""

    def __init__(self, seed: int = 0) -> None:
        self._model = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=seed)

    def fit(self, x: Floats, y: Floats) -> Forest:
        """See `Model`."""
        self._model.fit(x, y)
        return self

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """See `Model`."""
        each = np.stack([tree.predict(x) for tree in self._model.estimators_])
        return each.mean(axis=0), each.std(axis=0)


MODELS: Registry[Callable[[int], Model]] = Registry(
    "accuracy model",
    {
        "ridge": "search.accuracy.models:Ridge",
        "gp": "search.accuracy.models:GaussianProcess",
        "gp_ard": "search.accuracy.models:RelevanceGaussianProcess",
        "forest": "search.accuracy.models:Forest",
    },
)
