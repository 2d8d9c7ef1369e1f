"""The small models that an accuracy predictor chooses from: (N, F) features to AP with an uncertainty."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.gaussian_process.kernels import ConstantKernel
from sklearn.gaussian_process.kernels import DotProduct
from sklearn.gaussian_process.kernels import WhiteKernel
from sklearn.linear_model import BayesianRidge

from .costs import Floats


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


MODELS: dict[str, Callable[[int], Model]] = {
    "ridge": Ridge,
    "gp": GaussianProcess,
    "gp_ard": RelevanceGaussianProcess,
    "forest": Forest,
}
