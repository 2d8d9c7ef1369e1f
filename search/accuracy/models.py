"""The small models that an accuracy predictor chooses from: (N, F) features to AP with an uncertainty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import BayesianRidge

from supernet.registry import Registry
from supernet.space import Codes, SearchSpace

from ..costs.contract import Costs, Floats, log_cost

# So that a round is planned in seconds however long the search: rows that a Gaussian process holds, and those
# that its hyperparameters are fitted on.
MOST_ROWS, MOST_ROWS_TO_FIT = 1024, 256
# Of a Gaussian process: typical value and deviation of the logarithm's normal prior, and bounds. Our measured
# tables have noise between 0.005 and 0.05 of the variance.
HYPERPARAMETERS = {
    "amplitude": ((1.0, np.inf), (1e-3, 1e3)),
    "length": ((3.0, 0.7), (0.3, 100.0)),
    "slope": ((1.0, np.inf), (1e-3, 1e3)),
    "noise": ((0.01, 1.0), (1e-5, 1.0)),
}
# Of `SparsePairs`: features that pair, and iterations; by kind of term (a feature, its square, a pair) the
# degrees of freedom of its prior and the variance that it starts with.
PAIRED, STEPS = 64, 30
FREEDOM, VARIANCE = np.array([1.0, 1.0, 0.5]), np.array([0.1, 0.03, 0.003])


class Features:
    """(N, F) features of codes: sizes per gene, means per stage and kind, and the logarithms of the costs.

    Every feature of size runs from 0 (smallest choice) to 1 (largest), logarithmic in the choice where
    that spans a factor of two or more per step, so that distances mean the same along all of them. Genes
    of absent blocks are 0. Those of n blocks run to 1/sqrt(n): together they weigh as much as one gene.
    """

    def __init__(self, space: SearchSpace, costs: Costs) -> None:
        self._space = space
        self._costs = costs
        self._free = [i for i, gene in enumerate(space.genes) if len(gene.choices) > 1 and not gene.names]
        # What has no order has a feature for each choice.
        self._named = [(i, code) for i, g in enumerate(space.genes) for code in range(len(g.names))]
        self._scales = [unit_scale(space.genes[column].choices) for column in self._free]
        # Places of the genes of a stage's blocks, one kind at a time.
        kinds = [(space.genes[column].depth, space.genes[column].kind) for column in self._free]
        self._blocks = [
            [place for place, other in enumerate(kinds) if other == kind]
            for kind in dict.fromkeys(kinds)
            if kind[0] is not None
        ]
        self._span = _log_span(costs)

    def __call__(self, codes: Codes) -> Floats:
        """(N, F) features of (N, G) codes."""
        active = self._space.active(codes)
        genes = np.zeros((len(codes), len(self._free)))
        for place, (column, scale) in enumerate(zip(self._free, self._scales, strict=True)):
            genes[:, place] = np.where(active[:, column], scale[codes[:, column]], 0.0)
        named = [np.where(codes[:, column] == code, 1.0, 0.0) for column, code in self._named]
        means = [genes[:, places].mean(axis=1) for places in self._blocks]
        for places in self._blocks:
            genes[:, places] /= np.sqrt(len(places))
        low, width = self._span
        logs = (log_cost(self._costs.predict(codes)) - low) / width
        return np.column_stack([genes, *named, *means, logs])


def unit_scale(choices: tuple[int, ...]) -> Floats:
    """Each choice between 0, the smallest, and 1, the largest, by its logarithm."""
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


class GaussianProcess:
    """Linear plus squared-exponential kernel and noise; hyperparameters by marginal likelihood times priors,
    which hold them where few rows tell little (Rasmussen & Williams 2006). Of many rows, it takes some that
    are spread evenly over them.

    Attributes:
        theta: the logarithms of amplitude, length scale(s), slope and noise, of centred inputs and of values
            scaled to a deviation of 1.
    """

    def __init__(self, seed: int = 0) -> None:
        self._of_length = np.zeros(0, dtype=np.int64)

    def fit(self, x: Floats, y: Floats, share: Floats | None = None) -> GaussianProcess:
        """See `Model`.

        Args:
            x: (N, F) features.
            y: (N,) values.
            share: (N,) variance of each value's noise, in multiples of the one that is fitted; None is 1.
        """
        kept = _spread(len(x), MOST_ROWS)
        share = np.ones(len(x)) if share is None else share
        x, y, share = x[kept], y[kept], share[kept]
        self._center, self._y_center, self._y_scale = x.mean(axis=0), y.mean(), y.std() or 1.0
        x, y = x - self._center, (y - self._y_center) / self._y_scale
        self._of_length = self._lengths(x.shape[1])
        names = ["amplitude", *["length"] * (self._of_length.max() + 1), "slope", "noise"]
        typical, spread = np.array([HYPERPARAMETERS[name][0] for name in names]).T
        self._prior = np.log(typical), spread
        some = _spread(len(x), MOST_ROWS_TO_FIT)
        self.theta = minimize(
            lambda theta: tuple(-part for part in self.posterior(theta, x[some], y[some], share[some])),
            self._prior[0],
            jac=True,
            bounds=[np.log(HYPERPARAMETERS[name][1]) for name in names],
            method="L-BFGS-B",
            options={"maxiter": 100},
        ).x
        self._x = x
        covariance = self._kernel(x, x)
        covariance.flat[:: len(x) + 1] += np.exp(self.theta[-1]) * share
        factor = cho_factor(covariance, lower=True, overwrite_a=True)
        self._weight, self._inverse = cho_solve(factor, y), cho_solve(factor, np.eye(len(x)))
        return self

    def posterior(
        self, theta: Floats, x: Floats, y: Floats, share: float | Floats = 1.0
    ) -> tuple[float, Floats]:
        """The logarithm of likelihood times priors at `theta`, up to a constant, and its gradient.

        The gradient is made of matrix products: no (N, N, F) array is held.
        """
        _, scales, _, noise = self._split(theta)
        z = x / scales
        near, straight = self._parts(theta, x, x)
        covariance = near + straight
        covariance.flat[:: len(x) + 1] += noise * share
        try:
            factor = cho_factor(covariance, lower=True, overwrite_a=True)
        except np.linalg.LinAlgError:
            return -1e12, np.zeros_like(theta)
        weight, off = cho_solve(factor, y), (theta - self._prior[0]) / self._prior[1]
        value = -0.5 * y @ weight - np.log(np.diag(factor[0])).sum() - 0.5 * off @ off
        # d value / d parameter = tr((w w' - K^-1) dK) / 2.
        inner = np.outer(weight, weight) - cho_solve(factor, np.eye(len(x)))
        pull = inner * near
        along = np.bincount(self._of_length, (pull.sum(axis=0) @ z**2) - (z * (pull @ z)).sum(axis=0))
        ends = [0.5 * (inner * straight).sum(), 0.5 * noise * (np.diag(inner) * share).sum()]
        return value, np.array([0.5 * pull.sum(), *along, *ends]) - off / self._prior[1]

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """See `Model`."""
        x = x - self._center
        across = self._kernel(x, self._x)
        amplitude, _, slope, _ = self._split(self.theta)
        variance = amplitude + slope * (1.0 + (x * x).sum(axis=1))
        variance = variance - np.einsum("ij,ij->i", across @ self._inverse, across)
        mean = across @ self._weight * self._y_scale + self._y_center
        return mean, self._y_scale * np.sqrt(np.maximum(variance, 1e-12))

    def covariance(self, x: Floats) -> Floats:
        """See `AccuracyPredictor.covariance`."""
        x = x - self._center
        across = self._kernel(x, self._x)
        found = self._kernel(x, x) - across @ self._inverse @ across.T
        found.flat[:: len(x) + 1] += np.exp(self.theta[-1])
        return np.asarray(found * self._y_scale**2)

    def _kernel(self, x: Floats, other: Floats) -> Floats:
        near, straight = self._parts(self.theta, x, other)
        near += straight
        return near

    def _parts(self, theta: Floats, x: Floats, other: Floats) -> tuple[Floats, Floats]:
        """(N, M) squared-exponential and linear part."""
        amplitude, scales, slope, _ = self._split(theta)
        z, w = x / scales, other / scales
        squares = -0.5 * (z * z).sum(axis=1)[:, None] - 0.5 * (w * w).sum(axis=1)
        near = z @ w.T
        near += squares
        np.minimum(near, 0.0, out=near)
        return amplitude * np.exp(near, out=near), slope * (1.0 + x @ other.T)

    def _split(self, theta: Floats) -> tuple[float, Floats, float, float]:
        values = np.exp(theta)
        return values[0], values[1:-2][self._of_length], values[-2], values[-1]

    def _lengths(self, features: int) -> npt.NDArray[np.int64]:
        """(F,) which length scale each feature has."""
        return np.zeros(features, dtype=np.int64)


def _spread(count: int, most: int) -> npt.NDArray[np.int64]:
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


class RelevanceGaussianProcess(GaussianProcess):
    """The same with a length scale per feature, automatic relevance determination (Rasmussen & Williams 2006,
    section 5.1).
    """

    def _lengths(self, features: int) -> npt.NDArray[np.int64]:
        return np.arange(features)


class SparsePairs:
    """Linear in features, their squares and products of pairs, a variance for every coefficient.

    What tells little is held near zero (Tipping, JMLR 1, 2001): a Student-t prior, by expectation
    maximisation. Pairs of features that matter are likelier to matter. Main effects and pairs leave hardly
    more than noise of our measured tables.
    """

    def __init__(self, seed: int = 0) -> None:
        self._noise = 0.05

    def fit(self, x: Floats, y: Floats) -> SparsePairs:
        """See `Model`."""
        kept = _spread(len(x), MOST_ROWS)
        x, y = x[kept], y[kept]
        self._center, self._square = x.mean(axis=0), x.var(axis=0)
        self._y_center, self._y_scale = y.mean(), y.std() or 1.0
        y = (y - self._y_center) / self._y_scale
        weight = np.abs(y @ (x - self._center)) / np.sqrt(self._square + 1e-12)
        strong = np.sort(np.argsort(-weight, kind="stable")[:PAIRED])
        first, second = np.triu_indices(len(strong), 1)
        self._first, self._second = strong[first], strong[second]
        some = _spread(len(x), MOST_ROWS_TO_FIT)
        self._relevance(self._terms(x[some]), y[some])
        self._known = self._terms(x)
        covariance = (self._known * self._variance) @ self._known.T
        covariance.flat[:: len(x) + 1] += self._noise
        self._inverse = cho_solve(cho_factor(covariance, lower=True, overwrite_a=True), np.eye(len(x)))
        self._mean = self._variance * (self._known.T @ (self._inverse @ y))
        return self

    def _relevance(self, terms: Floats, y: Floats) -> None:
        """Find the variance of every coefficient, and the noise."""
        count, features = len(y), len(self._center)
        kinds = np.repeat([0, 1, 2], [features, features, len(self._first)])
        members = np.maximum(np.bincount(kinds, minlength=3), 1)
        freedom, typical, variance, noise = FREEDOM[kinds], VARIANCE, VARIANCE[kinds], self._noise
        for _ in range(STEPS):
            system = (terms * variance) @ terms.T
            system.flat[:: count + 1] += noise
            inverse = cho_solve(cho_factor(system, lower=True, overwrite_a=True), np.eye(count))
            mean = variance * (terms.T @ (inverse @ y))
            unsure = variance - variance**2 * np.einsum("np,np->p", terms, inverse @ terms)
            base = typical[kinds]
            alone = variance[:features] + 0.5 * variance[features : 2 * features]
            both = np.sqrt(alone[self._first] * alone[self._second])
            base[2 * features :] *= both * len(both) / max(both.sum(), 1e-12)
            variance = (mean**2 + np.maximum(unsure, 0.0) + freedom * base) / (freedom + 1.0)
            pull = np.bincount(kinds, np.log(variance / base), minlength=3) / members
            typical = np.clip(typical * np.exp(0.5 * pull), 1e-5, 10.0)
            off = y - terms @ mean
            unsure_of = noise * (count - noise * np.trace(inverse))
            # As if six more rows had shown a noise of 0.01.
            noise = float(np.clip((off @ off + unsure_of + 0.06) / (count + 6), 1e-4, 1.0))
        self._variance, self._noise = variance, noise

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """See `Model`."""
        terms = self._terms(x)
        across = (terms * self._variance) @ self._known.T
        variance = (terms**2) @ self._variance - np.einsum("ij,ij->i", across @ self._inverse, across)
        mean = terms @ self._mean * self._y_scale + self._y_center
        return mean, self._y_scale * np.sqrt(np.maximum(variance, 1e-12))

    def covariance(self, x: Floats) -> Floats:
        """See `AccuracyPredictor.covariance`."""
        terms = self._terms(x)
        across = (terms * self._variance) @ self._known.T
        found = (terms * self._variance) @ terms.T - across @ self._inverse @ across.T
        found.flat[:: len(x) + 1] += self._noise
        return np.asarray(found * self._y_scale**2)

    def _terms(self, x: Floats) -> Floats:
        """(N, T) features, their squares, and the products of pairs, around the mean."""
        off = x - self._center
        return np.column_stack([off, off**2 - self._square, off[:, self._first] * off[:, self._second]])


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
        "pairs": "search.accuracy.models:SparsePairs",
        "gp": "search.accuracy.models:GaussianProcess",
        "gp_ard": "search.accuracy.models:RelevanceGaussianProcess",
        "forest": "search.accuracy.models:Forest",
    },
)
