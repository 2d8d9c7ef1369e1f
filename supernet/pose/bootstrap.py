"""Confidence intervals of AP, and of differences of AP, by resampling images."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .people import Floats
from .protocols import Protocol, open_truth, pycocotools_evaluator
from .results import Detections, GroundTruth, Record, read_detections
from .skeletons import Skeleton

Bools = NDArray[np.bool_]

THRESHOLDS = 10  # OKS 0.50, 0.55, ..., 0.95
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Matches:
    """The matches of one detector with M images and N detections, best score first over all images.

    Attributes:
        image: (N,) place of each detection's image among the sorted image ids.
        hit: (10, N) whether it matched somebody at each OKS threshold.
        counts: (10, N) whether it counts at all; what matches an ignored person does not.
        people: (M,) people to find per image.
    """

    image: NDArray[np.intp]
    hit: Bools
    counts: Bools
    people: NDArray[np.intp]


def find_matches(truth: Record, found: list[Record], protocol: Protocol, skeleton: Skeleton) -> Matches:
    """Match by pycocotools, once; with CrowdPose's areas and sigmas this is CrowdPose's matching."""
    for record in truth["annotations"]:
        record["area"] = protocol.area(record)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = pycocotools_evaluator(truth, found, skeleton.sigmas)
        evaluator.params.areaRng, evaluator.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluator.evaluate()
    return _collect(evaluator.evalImgs)


def _collect(images: list[dict[str, Any] | None]) -> Matches:
    """Join the per-image results, which are in the order of the image ids (one category, one area range)."""
    place, score, hit, ignored = [], [], [], []
    people = np.zeros(len(images), np.intp)
    for index, image in enumerate(images):
        if image is None:
            continue
        people[index] = np.count_nonzero(np.asarray(image["gtIgnore"]) == 0)
        score.append(np.asarray(image["dtScores"], float))
        place.append(np.full(len(score[-1]), index))
        hit.append(np.asarray(image["dtMatches"]).reshape(THRESHOLDS, -1) > 0)
        ignored.append(np.asarray(image["dtIgnore"]).reshape(THRESHOLDS, -1) > 0)
    if not score:
        none = np.zeros((THRESHOLDS, 0), bool)
        return Matches(np.zeros(0, np.intp), none, none, people)
    order = np.argsort(-np.concatenate(score), kind="stable")
    counts = ~np.concatenate(ignored, axis=1)[:, order]
    return Matches(np.concatenate(place)[order], np.concatenate(hit, axis=1)[:, order], counts, people)


def average_precision(matches: Matches, weights: Floats) -> Floats:
    """(10,) AP at each OKS threshold when image m occurs `weights[m]` times; nan where nobody is to be found.

    Equals evaluating a data set in which each image stands that many times: 101-point interpolated precision.
    """
    people = float(weights @ matches.people)
    if people == 0:
        return np.full(THRESHOLDS, np.nan)
    share = weights[matches.image]
    found = np.zeros(THRESHOLDS)
    for threshold in range(THRESHOLDS):
        counted = share * matches.counts[threshold]
        true = np.cumsum(counted * matches.hit[threshold])
        seen = np.cumsum(counted)
        precision = true / (seen + np.spacing(1))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        reached = np.searchsorted(true / people, RECALLS, side="left")
        found[threshold] = np.append(envelope, 0)[reached].mean()
    return found


_THRESHOLDS = {"AP": slice(None), "AP50": slice(0, 1), "AP75": slice(5, 6)}


@dataclass(frozen=True)
class Interval:
    """A metric on all images and the range it takes in the given share of the resamples.

    Attributes:
        value: the metric itself (0..1; a difference -1..1).
        low, high: the ends of the percentile interval.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """AP of several detectors on the same images.

    Attributes:
        metrics: name to AP.
        differences: (first, second) to AP of the second minus AP of the first, on the same resamples: paired,
            so that what makes images easy or hard for both cancels.
        samples: number of resamples.  confidence: share that the intervals cover.
        draws: name to the (samples,) AP of each resample, the same images in every name's n-th: what other
            paired statistics are made of.
    """

    metrics: dict[str, Interval]
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

    Detections are matched once; a resample only changes how often each image counts, which gives the metric
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
    values, draws = {}, {}
    for name, found in detections.items():
        protocol, layout, truth = open_truth(ground_truth, dataset, skeleton)
        matches = find_matches(truth, read_detections(found, truth, layout), protocol, layout)
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
    metrics = {name: _interval(value, draws[name], confidence) for name, value in values.items()}
    differences = {
        (first, second): _interval(values[second] - values[first], draws[second] - draws[first], confidence)
        for first, second in itertools.combinations(values, 2)
    }
    return Bootstrap(metrics, differences, samples, confidence, draws)


def _resample(rng: np.random.Generator, images: int) -> Floats:
    """How often each image stands in one resample."""
    return np.bincount(rng.integers(images, size=images), minlength=images).astype(float)


def _interval(value: float, draws: Floats, confidence: float) -> Interval:
    low, high = np.nanquantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
