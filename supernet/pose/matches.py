"""Which detections matched whom, image by image: what confidence intervals are computed from."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .people import Floats
from .results import Record
from .scorers import no_results
from .scoring import area
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


def find_matches(truth: Record, found: list[Record], dataset: str, skeleton: Skeleton) -> Matches:
    """Match by pycocotools, once; with CrowdPose's areas and sigmas this is CrowdPose's matching."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    for record in truth["annotations"]:
        record["area"] = area(record, dataset)
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        evaluator = COCOeval(gt, gt.loadRes(found) if found else no_results(gt), "keypoints")
        evaluator.params.kpt_oks_sigmas = np.asarray(skeleton.sigmas)
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
    figures = np.zeros(THRESHOLDS)
    for threshold in range(THRESHOLDS):
        counted = share * matches.counts[threshold]
        true = np.cumsum(counted * matches.hit[threshold])
        seen = np.cumsum(counted)
        precision = true / (seen + np.spacing(1))
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        reached = np.searchsorted(true / people, RECALLS, side="left")
        figures[threshold] = np.append(envelope, 0)[reached].mean()
    return figures
