"""Confidence intervals of AP, and of differences of AP, by resampling images."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

import numpy as np

from ..errors import InputError
from .matches import average_precision
from .matches import find_matches
from .people import Floats
from .results import Detections
from .results import GroundTruth
from .results import read_detections
from .results import read_ground_truth
from .scoring import prepare_truth
from .skeletons import Skeleton

_THRESHOLDS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}


@dataclass(frozen=True)
class Interval:
    """A figure on all images and the range it takes in the given share of the resamples.

    Attributes:
        value: the figure itself (0..1; a difference -1..1).
        low, high: the ends of the percentile interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """AP of several detectors on the same images.

    Attributes:
        figures: name to AP.
        differences: (first, second) to AP of the second minus AP of the first, on the same resamples: paired,
            so that what makes images easy or hard for both cancels.
        samples: number of resamples.  confidence: share that the intervals cover.
        draws: name to the (samples,) AP of each resample, the same images in every name's n-th: what other
            paired statistics are made of.
    """

    figures: dict[str, Interval]
    differences: dict[tuple[str, str], Interval]
    samples: int
    confidence: float
    draws: dict[str, Floats] = field(compare=False, repr=False)


def bootstrap_ap(
    ground_truth: GroundTruth,
    detections: Mapping[str, Detections],
    dataset: str = "crowdpose",
    *,
    metric: str = "AP",
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    skeleton: Skeleton | str | os.PathLike[str] | None = None,
) -> Bootstrap:
    """Bootstrap AP over images: percentile intervals and paired differences (Efron & Tibshirani, 1993).

    Detections are matched once; a resample only changes how often each image counts, which gives the figure
    that scoring the resampled data set would.

    Args:
        ground_truth, dataset, skeleton: as for `score`.
        detections: name to COCO keypoint results.
        metric: "AP", "AP50" or "AP75".
        samples: resamples (>= 1).
        confidence: 0..1.
        seed: of the resampling; the same images are drawn for every detector.

    Raises:
        InputError: unreadable or inconsistent input, or nobody to find in any image.
    """
    if metric not in _THRESHOLDS:
        raise InputError(f"unknown metric {metric!r}; use one of {', '.join(_THRESHOLDS)}")
    if samples < 1 or not 0 < confidence < 1:
        raise InputError(f"samples must be at least 1 and confidence in 0..1, got {samples}, {confidence}")
    layout = Skeleton.load(skeleton or dataset)
    values, draws = {}, {}
    for name, found in detections.items():
        truth = read_ground_truth(ground_truth, layout)
        prepare_truth(truth, dataset)
        matches = find_matches(truth, read_detections(found, truth, layout), dataset, layout)
        images = len(matches.people)
        values[name] = float(average_precision(matches, np.ones(images))[_THRESHOLDS[metric]].mean())
        if np.isnan(values[name]):
            raise InputError("the ground truth has nobody to find")
        rng = np.random.default_rng(seed)
        draws[name] = np.array(
            [
                average_precision(matches, _resample(rng, images))[_THRESHOLDS[metric]].mean()
                for _ in range(samples)
            ]
        )
    figures = {name: _interval(value, draws[name], confidence) for name, value in values.items()}
    differences = {
        (first, second): _interval(values[second] - values[first], draws[second] - draws[first], confidence)
        for first, second in itertools.combinations(values, 2)
    }
    return Bootstrap(figures, differences, samples, confidence, draws)


def _resample(rng: np.random.Generator, images: int) -> Floats:
    """How often each image stands in one resample."""
    return np.bincount(rng.integers(images, size=images), minlength=images).astype(float)


def _interval(value: float, draws: Floats, confidence: float) -> Interval:
    low, high = np.nanquantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
