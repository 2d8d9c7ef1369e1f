"""Bootstrap of AP: equal to scoring a resampled data set, paired, repeatable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pose_cases
import pytest

from supernet.errors import InputError
from supernet.pose import Skeleton, bootstrap_ap, score
from supernet.pose.bootstrap import average_precision, find_matches
from supernet.pose.protocols import open_truth
from supernet.pose.results import read_detections

GOLDEN = Path(__file__).parents[2] / "golden"
GT, DT = GOLDEN / "crowdpose_open_gt.json.gz", GOLDEN / "crowdpose_open_dt.json.gz"
CROWDPOSE, COCO = Skeleton.load("crowdpose"), Skeleton.load("coco")


def matches_of(truth: Any, found: Any, dataset: str) -> Any:
    protocol, skeleton, checked = open_truth(truth, dataset, None)
    return find_matches(checked, read_detections(found, checked, skeleton), protocol, skeleton)


def resampled(truth: dict[str, Any], found: list[dict[str, Any]], weights: np.ndarray) -> tuple[Any, Any]:
    """The data set in which image m (by id) really stands `weights[m]` times."""
    images, people, detections = [], [], []
    order = sorted(image["id"] for image in truth["images"])
    for image_id, times in zip(order, weights, strict=True):
        for _ in range(int(times)):
            fresh = len(images) + 1
            images.append({"id": fresh, "crowdIndex": 0.5})
            people += [{**r, "image_id": fresh} for r in truth["annotations"] if r["image_id"] == image_id]
            detections += [{**d, "image_id": fresh} for d in found if d["image_id"] == image_id]
    return {"images": images, "annotations": people, "categories": truth["categories"]}, detections


def test_unit_weights_give_the_golden_ap() -> None:
    matches = matches_of(GT, DT, "crowdpose")
    metrics = average_precision(matches, np.ones(len(matches.people)))
    stats = score(GT, DT)
    assert metrics.mean() == pytest.approx(stats["AP"], abs=1e-12)
    assert metrics[0] == pytest.approx(stats["AP50"], abs=1e-12)
    assert metrics[5] == pytest.approx(stats["AP75"], abs=1e-12)


@pytest.mark.parametrize("dataset", ["crowdpose", "coco"])
@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_scoring_the_resampled_set(dataset: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = pose_cases.annotations(rng, Skeleton.load(dataset))
    found = pose_cases.detections(rng, truth)
    for number, record in enumerate(found):
        record["score"] = 0.5 + number * 1e-3  # without ties, whose order a resample may change
    weights = rng.integers(0, 3, len(truth["images"])).astype(float)
    metrics = average_precision(matches_of(truth, found, dataset), weights)
    expected = score(*resampled(truth, found, weights), dataset)
    assert metrics.mean() == pytest.approx(expected["AP"], abs=1e-12)
    assert metrics[5] == pytest.approx(expected["AP75"], abs=1e-12)


def test_intervals_and_paired_differences() -> None:
    rng = np.random.default_rng(0)
    truth = pose_cases.annotations(rng, CROWDPOSE, images=40)
    close, far = (pose_cases.detections(np.random.default_rng(1), truth, noise) for noise in (0.03, 0.08))
    names = {"close": close, "again": [dict(record) for record in close], "far": far}
    result = bootstrap_ap(truth, names, samples=200, seed=3)
    assert result.metrics["close"].value == pytest.approx(score(truth, close)["AP"], abs=1e-12)
    for interval in result.metrics.values():
        assert interval.low < interval.value < interval.high
    same = result.differences["close", "again"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    apart = result.differences["close", "far"]
    assert apart.value < 0
    single = result.metrics["close"], result.metrics["far"]
    assert apart.high - apart.low < sum(each.high - each.low for each in single)
    assert bootstrap_ap(truth, names, samples=200, seed=3) == result
    assert bootstrap_ap(truth, names, samples=200, seed=4) != result
    wide, narrow = (
        bootstrap_ap(truth, {"a": far}, confidence=c, samples=200).metrics["a"] for c in (0.95, 0.5)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_other_metrics_and_edges() -> None:
    rng = np.random.default_rng(2)
    truth = pose_cases.annotations(rng, COCO)
    found = pose_cases.detections(rng, truth)
    fifty = bootstrap_ap(truth, {"a": found, "none": []}, "coco", metric="AP50", samples=20)
    assert fifty.metrics["a"].value == pytest.approx(score(truth, found, "coco")["AP50"], abs=1e-12)
    assert fifty.metrics["none"].value == fifty.metrics["none"].high == 0
    with pytest.raises(InputError, match="nobody to find"):
        bootstrap_ap({**truth, "annotations": []}, {"a": []}, "coco")
    with pytest.raises(InputError, match="unknown metric"):
        bootstrap_ap(truth, {"a": found}, "coco", metric="AR")
    with pytest.raises(InputError, match="samples"):
        bootstrap_ap(truth, {"a": found}, "coco", samples=0)
