"""Accuracy predictor: AP from codes, by one model or by the best of a few in cross-validated rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau

from supernet.errors import InputError
from supernet.space import Codes

from ..costs.contract import Costs, Floats
from .models import MODELS, Features, GaussianProcess, Model, RelevanceGaussianProcess

FOLDS = 5
FEWEST = 10


@dataclass(frozen=True)
class Quality:
    """How well a model ranks architectures that it has not seen (cross-validation).

    Attributes:
        tau: Kendall tau between predicted and measured AP, all folds together.
        tau_interval: its 90% bootstrap interval.
        mae: mean absolute error of AP.
        mae_interval: its 90% bootstrap interval.
    """

    tau: float
    tau_interval: tuple[float, float]
    mae: float
    mae_interval: tuple[float, float]


@dataclass(frozen=True)
class AccuracyPredictor:
    """AP of architectures, with an uncertainty.

    Attributes:
        features: of codes.
        fitted: the model, fitted.
        model: its name.
    """

    features: Features
    fitted: Model
    model: str

    def predict(self, codes: Codes) -> tuple[Floats, Floats]:
        """Mean and standard deviation, (N,) each, of the AP of (N, G) codes."""
        return self.fitted.predict(self.features(codes))

    def covariance(self, codes: Codes) -> Floats:
        """(N, N) covariance of what measuring (N, G) codes would give, noise included.

        A model that has no `covariance(x)` counts as independent everywhere and free of noise.
        """
        x = self.features(codes)
        own = getattr(self.fitted, "covariance", None)
        return np.asarray(own(x) if own else np.diag(self.fitted.predict(x)[1] ** 2))


@dataclass(frozen=True)
class RatedPredictor(AccuracyPredictor):
    """One that was chosen by cross-validation.

    Attributes:
        held_out: (N,) its predictions of the measured architectures, each by a fit without its fold.
        qualities: of every model that was tried, by name.
    """

    held_out: Floats
    qualities: dict[str, Quality]

    @property
    def quality(self) -> Quality:
        """The chosen model's."""
        return self.qualities[self.model]


def fit_model(costs: Costs, codes: Codes, ap: Floats, seed: int, model: str) -> AccuracyPredictor:
    """Fit one model of `MODELS` on (N, G) codes, N >= 10, that scored (N,) AP.

    Raises:
        InputError: too few architectures, or AP that is not finite.
    """
    _require_enough(codes, ap)
    features = Features(costs.space, costs)
    return AccuracyPredictor(features, MODELS.get(model)(seed).fit(features(codes), ap), model)


def fit_predictor(
    costs: Costs, codes: Codes, ap: Floats, seed: int = 0, models: tuple[str, ...] = ()
) -> RatedPredictor:
    """Fit every model on folds, choose the best by Kendall tau, and refit it on all.

    Args:
        costs: of the space of `codes`.
        codes: (N, G) measured architectures, N >= 10.
        ap: (N,) their AP.
        seed: of the folds, the models and the bootstrap.
        models: names in `MODELS` to choose from; default all.

    Raises:
        InputError: too few architectures, or AP that is not finite.
    """
    _require_enough(codes, ap)
    features = Features(costs.space, costs)
    x = features(codes)
    chosen = {name: MODELS.get(name) for name in models or MODELS.names()}
    out = {name: out_of_fold(make, x, ap, seed) for name, make in chosen.items()}
    qualities = {name: measure_quality(values, ap, seed) for name, values in out.items()}
    best = max(qualities, key=lambda name: qualities[name].tau)
    return RatedPredictor(features, chosen[best](seed).fit(x, ap), best, out[best], qualities)


def is_enough(ap: Floats) -> bool:
    """Whether (N,) measured AP are enough to tell what they owe to luck: 20 or more, not all equal."""
    return len(ap) >= 2 * FEWEST and np.ptp(ap) != 0


@dataclass(frozen=True)
class Few:
    """Scores on a few of the images.

    Attributes:
        codes: (M, G) architectures.
        ap: (M,) their AP.
        share: of the images, in (0, 1).
    """

    codes: Codes
    ap: Floats
    share: float


def fit_rounds(costs: Costs, codes: Codes, ap: Floats, few: Few) -> AccuracyPredictor:
    """A Gaussian process of AP on all images, fitted on that and, where it is not known, on AP on a few.

    A few images may be harder or easier than all: their scores are moved by the mean difference between what
    all images gave and what the few let expect, not what they gave, since the best of many owe some of their
    scores to luck. Their noise has more variance, as the images are fewer.

    Args:
        costs: of the space of `codes`.
        codes: (N, G) architectures that were scored on all images, N >= 0.
        ap: (N,) their AP.
        few: those that were scored on a few images, 10 or more.
    """
    early = fit_model(costs, few.codes, few.ap, 0, "gp_ard")
    moved = float((ap - early.predict(codes)[0]).mean()) if len(codes) else 0.0
    known = {row.tobytes() for row in np.ascontiguousarray(codes)}
    rest = np.array([row.tobytes() not in known for row in np.ascontiguousarray(few.codes)], dtype=bool)
    every = np.concatenate([codes, few.codes[rest]])
    share = np.repeat([1.0, 1.0 / few.share], [len(codes), int(rest.sum())])
    fitted: GaussianProcess = RelevanceGaussianProcess()
    fitted.fit(early.features(every), np.concatenate([ap, few.ap[rest] + moved]), share)
    return AccuracyPredictor(early.features, fitted, "gp_ard")


def believed(costs: Costs, codes: Codes, ap: Floats, few: Few | None = None) -> Floats:
    """(N,) AP of (N, G) measured architectures as a Gaussian process believes it, having seen them all, and
    what was scored on a few images.

    The best of many measurements owes some of its score to luck; this owes less. Where there are not enough
    (`is_enough`), it is what was measured.
    """
    if few is not None and is_enough(few.ap):
        return fit_rounds(costs, codes, ap, few).predict(codes)[0]
    if not is_enough(ap):
        return ap
    return fit_model(costs, codes, ap, 0, "gp_ard").predict(codes)[0]


def _require_enough(codes: Codes, ap: Floats) -> None:
    if len(codes) < FEWEST:
        raise InputError(
            f"an accuracy predictor needs at least {FEWEST} measured architectures, found {len(codes)}"
        )
    if not np.isfinite(ap).all():
        raise InputError("an accuracy predictor needs finite AP values")


def out_of_fold(make: Callable[[int], Model], x: Floats, y: Floats, seed: int) -> Floats:
    """(N,) predictions of each row by a model that was fitted without its fold."""
    order = np.random.default_rng(seed).permutation(len(x))
    found = np.empty(len(x))
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        rest = np.setdiff1d(order, held)
        found[held] = make(seed).fit(x[rest], y[rest]).predict(x[held])[0]
    return found


def tau_of(predicted: Floats, measured: Floats) -> float:
    """Kendall tau-b; 0 where one of the two is constant."""
    value = float(kendalltau(predicted, measured).statistic)
    return value if np.isfinite(value) else 0.0


def measure_quality(predicted: Floats, measured: Floats, seed: int = 0, repeats: int = 100) -> Quality:
    """Kendall tau and mean absolute error with 90% bootstrap intervals."""
    rng = np.random.default_rng(seed)
    error = np.abs(predicted - measured)
    draws = [rng.integers(len(measured), size=len(measured)) for _ in range(repeats)]
    taus = np.quantile([tau_of(predicted[draw], measured[draw]) for draw in draws], (0.05, 0.95))
    maes = np.quantile([error[draw].mean() for draw in draws], (0.05, 0.95))
    return Quality(
        tau_of(predicted, measured),
        (float(taus[0]), float(taus[1])),
        float(error.mean()),
        (float(maes[0]), float(maes[1])),
    )
