"""The small models that an accuracy predictor chooses from: (N, F) features to AP with an uncertainty."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from sklearn.linear_model import BayesianRidge

from supernet.registry import Registry
from supernet.space import Codes, SearchSpace

from ..costs.contract import Costs, Floats, log_cost

# So that a round is planned in seconds however long the search: rows that a Gaussian process holds, and those
# that its hyperparameters are fitted on.
MOST_ROWS, MOST_ROWS_TO_FIT = 1024, 256


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
        logs = (log_cost(self._costs.predict(codes)) - low) / width
        return np.column_stack([*columns, logs])


def _unit_scale(choices: tuple[int, ...]) -> Floats:
    sizes = np.array(choices, dtype=np.float64)
    # A switch has no size: its choices are 0 and 1.
    values = np.log(sizes) if sizes[0] else sizes
    scale: Floats = (values - values[0]) / (values[-1] - values[0])
    return scale


def _log_span(costs: Costs) -> tuple[Floats, Floats]:
    low, high = log_cost(costs.of_smallest()), log_cost(costs.of_largest())
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


class _Regressor(GaussianProcessRegressor):  # type: ignore[misc]
    """scikit-learn's, with the gradient of this kernel as matrix products.

    Its own gradient holds an (N, N, F) array: with a length scale per feature that is nearly all of a fit.
    """

    def log_marginal_likelihood(
        self, theta: Floats | None = None, eval_gradient: bool = False, clone_kernel: bool = True
    ) -> Any:
        """The log-likelihood at the logarithms `theta` of amplitude, F length scales, slope and noise."""
        if theta is None or not eval_gradient:
            return super().log_marginal_likelihood(theta, eval_gradient, clone_kernel)
        x, y = self.X_train_, self.y_train_
        (amplitude, *scales), (slope, noise) = np.split(np.exp(theta), [-2])
        z = x / np.array(scales)
        near = amplitude * np.exp(-0.5 * cdist(z, z, "sqeuclidean"))
        straight = slope * (1.0 + x @ x.T)
        covariance = near + straight
        covariance.flat[:: len(x) + 1] += noise + self.alpha
        try:
            factor = cho_factor(covariance, lower=True, overwrite_a=True)
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros_like(theta)
        weight = cho_solve(factor, y)
        value = -0.5 * y @ weight - np.log(np.diag(factor[0])).sum() - 0.5 * len(x) * np.log(2 * np.pi)
        # d value / d parameter = tr((w w' - K^-1) dK) / 2.
        inner = np.outer(weight, weight) - cho_solve(factor, np.eye(len(x)))
        pull = inner * near
        along = (pull.sum(axis=0) @ z**2) - (z * (pull @ z)).sum(axis=0)
        lengths = along if len(scales) > 1 else [along.sum()]
        ends = [0.5 * (inner * straight).sum(), 0.5 * noise * np.trace(inner)]
        return value, np.array([0.5 * pull.sum(), *lengths, *ends])


class GaussianProcess:
    """Linear plus squared-exponential kernel, hyperparameters by marginal likelihood (Rasmussen & Williams
    2006); of many rows, some that are spread evenly over them.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, x: Floats, y: Floats) -> GaussianProcess:
        """See `Model`."""
        x, y = x[_spread(len(x), MOST_ROWS)], y[_spread(len(x), MOST_ROWS)]
        kernel = (
            ConstantKernel(1.0, (1e-3, 1e3)) * RBF(self._length_scales(x.shape[1]), (0.3, 100.0))
            + ConstantKernel(1.0, (1e-3, 1e3)) * DotProduct(1.0, sigma_0_bounds="fixed")
            + WhiteKernel(0.05, (1e-5, 1.0))
        )
        self._center, self._y_center, self._y_scale = x.mean(axis=0), y.mean(), y.std() or 1.0
        x, y = x - self._center, (y - self._y_center) / self._y_scale
        some = _spread(len(x), MOST_ROWS_TO_FIT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model = _Regressor(kernel, random_state=self._seed).fit(x[some], y[some])
            if len(some) < len(x):
                self._model = _Regressor(self._model.kernel_, optimizer=None).fit(x, y)
        return self

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """See `Model`."""
        mean, deviation = self._model.predict(x - self._center, return_std=True)
        return mean * self._y_scale + self._y_center, deviation * self._y_scale

    def _length_scales(self, features: int) -> float | Floats:
        return 3.0


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


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
