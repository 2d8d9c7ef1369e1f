"""The stages of decoding against brute force: peaks, matching, refinement, OKS and suppression."""

from __future__ import annotations

import itertools

import numpy as np
import pose_cases
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernet.pose import Skeleton, decode
from supernet.pose.peaks import (
    RULES,
    Peaks,
    find_missing,
    find_peaks,
    match,
    refine_position,
    sample_tags,
)
from supernet.pose.people import oks, pose_areas, suppress

SEEDS = st.integers(0, 2**32 - 1)


def peaks_by_hand(heat: np.ndarray, threshold: float, most: int, reach: int) -> list[tuple[int, int]]:
    """(row, column): higher than what stands before in the window, at least as high as what stands after."""
    found = []
    for row, column in np.ndindex(heat.shape):
        value = heat[row, column]
        rows = range(max(row - reach, 0), min(row + reach + 1, heat.shape[0]))
        columns = range(max(column - reach, 0), min(column + reach + 1, heat.shape[1]))
        around = [(r, c) for r in rows for c in columns if (r, c) != (row, column)]
        before = all(heat[place] < value for place in around if place < (row, column))
        if value > threshold and before and all(heat[place] <= value for place in around):
            found.append((-value, row, column))
    return [(row, column) for _, row, column in sorted(found)[:most]]


@given(SEEDS, st.sampled_from([3, 5]), st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_peaks(seed: int, window: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 12, 2)
    heat = rng.integers(0, 6, (3, *shape)).astype(np.float32) / 8  # many ties
    peaks = find_peaks(heat, 0.2, most, window)
    for joint in range(3):
        who = peaks.joint == joint
        places = list(zip(peaks.row[who].tolist(), peaks.column[who].tolist(), strict=True))
        assert places == peaks_by_hand(heat[joint], 0.2, most, window // 2)
    assert (np.diff(peaks.joint) >= 0).all()
    assert np.array_equal(peaks.score, heat[peaks.joint, peaks.row, peaks.column])


def test_a_parabola_is_found_exactly() -> None:
    y, x = np.mgrid[:9, :11] + 0.5
    for px, py in ((5.3, 4.6), (5.5, 4.5), (5.01, 4.99)):
        heat = (1 - 0.01 * (x - px) ** 2 - 0.02 * (y - py) ** 2).astype(np.float32)[None]
        peaks = find_peaks(heat, 0.1, 5)
        assert refine_position(heat, peaks) == pytest.approx(np.array([[px, py]]), abs=1e-3)


def joined_by_brute_force(distance: np.ndarray, score: np.ndarray) -> float:
    """The lowest total cost of any one-to-one pairing of peaks (rows) and persons."""
    cost = np.round(distance) * 100 - score[:, None]
    rows, columns = cost.shape
    if rows <= columns:
        return min(
            cost[range(rows), list(pick)].sum() for pick in itertools.permutations(range(columns), rows)
        )
    return min(
        cost[list(pick), range(columns)].sum() for pick in itertools.permutations(range(rows), columns)
    )


@given(SEEDS, st.integers(1, 5), st.integers(1, 5), st.integers(1, 2))
@settings(max_examples=60, deadline=None)
def test_matching_is_optimal(seed: int, persons: int, peaks: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    tags = rng.uniform(0, 4, (persons + peaks, depth)).astype(np.float32)
    score = np.sort(rng.uniform(0.1, 1, persons + peaks).astype(np.float32))[::-1]
    joint = np.repeat([0, 1], [persons, peaks])
    person = match(joint, score, tags, (0, 1), 30, np.inf)
    assert person[:persons].tolist() == list(range(persons))
    assert len(set(person[persons:])) == peaks
    distance = np.linalg.norm(tags[persons:, None].astype(float) - tags[None, :persons], axis=2)
    joined = np.flatnonzero(person[persons:] < persons)
    cost = np.round(distance) * 100 - score[persons:, None]
    assert len(joined) == min(persons, peaks)
    total = cost[joined, person[persons:][joined]].sum()
    assert total == pytest.approx(joined_by_brute_force(distance, score[persons:]), abs=1e-3)
    strict = match(joint, score, tags, (0, 1), 30, 0.5)[persons:]
    for peak, who in enumerate(strict):
        assert who >= persons or distance[peak, who] < 0.5 + 1e-6


@given(SEEDS, st.sampled_from([(1, 1), (2, 2), (1, 3), (4, 2)]), st.integers(1, 2))
@settings(max_examples=40, deadline=None)
def test_missing_joints(seed: int, factors: tuple[int, int], depth: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = (5, 6)
    size = (coarse[0] * factors[0], coarse[1] * factors[1])
    heat = rng.normal(0, 0.2, (2, *size)).astype(np.float32)
    tags = rng.uniform(0, 3, (2, *coarse, depth)).astype(np.float32)
    own = rng.uniform(0, 3, (3, depth)).astype(np.float32)
    missing = rng.random((3, 2)) < 0.7
    person, joint, row, column = find_missing(heat, tags, missing, own)
    fine = tags.repeat(factors[0], axis=1).repeat(factors[1], axis=2)
    expected = {}
    for who, which in zip(*np.nonzero(missing), strict=True):
        value = heat[which] - np.round(np.linalg.norm(fine[which] - own[who], axis=-1))
        place = np.unravel_index(value.argmax(), size)
        if heat[which][place] > 0:
            expected[int(who), int(which)] = (int(place[0]), int(place[1]))
    places = zip(row.tolist(), column.tolist(), strict=True)
    assert dict(zip(zip(person.tolist(), joint.tolist(), strict=True), places, strict=True)) == expected


def test_tags_between_pixels_are_bilinear() -> None:
    y, x = np.mgrid[:6, :8] + 0.5
    tags = np.stack([3 * x + y, x - 2 * y], axis=-1)[None].astype(np.float32)  # linear in the place
    row, column = (index.ravel() for index in np.mgrid[2:10, 2:14])
    sampled = sample_tags(tags, 0 * row, row, column, (12, 16))
    px, py = (column + 0.5) / 2, (row + 0.5) / 2
    assert np.allclose(sampled, np.stack([3 * px + py, px - 2 * py], axis=-1), atol=1e-4)
    corner = sample_tags(tags, np.array([0]), np.array([0]), np.array([0]), (12, 16))
    assert np.allclose(corner, tags[0, 0, 0])


def test_oks_equals_pycocotools() -> None:
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    coco = Skeleton.load("coco")
    truth = pose_cases.annotations(rng, coco)
    found = pose_cases.detections(rng, truth)
    for image in truth["images"]:
        people = [
            r for r in truth["annotations"] if r["image_id"] == image["id"] and any(r["keypoints"][2::3])
        ]
        given_ = sorted((d for d in found if d["image_id"] == image["id"]), key=lambda d: -d["score"])[:20]
        evaluator = COCOeval(iouType="keypoints")
        evaluator._gts, evaluator._dts = {(1, 1): people}, {(1, 1): given_}
        expected = np.array(evaluator.computeOks(1, 1)).reshape(len(given_), len(people))
        poses, places = (np.array([r["keypoints"] for r in rs]).reshape(-1, 17, 3) for rs in (people, given_))
        areas = np.array([record["area"] for record in people])
        assert np.allclose(oks(places, poses, coco.sigmas, areas), expected, atol=1e-12)


@given(SEEDS, st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_suppression(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    sigmas = Skeleton.load("crowdpose").sigmas
    base = rng.uniform(0, 100, (3, 14, 3))
    poses = base[rng.integers(0, 3, 9)] + rng.normal(0, 3, (9, 14, 3)) * rng.random((9, 1, 1))
    poses[..., 2] = rng.random((9, 14)) < 0.9
    scores = np.round(rng.random(9), 1)
    kept = suppress(poses, scores, sigmas, threshold)
    similar = oks(poses, poses, sigmas, pose_areas(poses))
    assert (np.diff(scores[kept]) <= 0).all()
    for index, person in enumerate(kept):
        assert all(similar[person, better] <= threshold for better in kept[:index])
    for person in set(range(9)) - set(kept.tolist()):
        assert any(similar[person, b] > threshold and scores[b] >= scores[person] for b in kept)


def test_views_in_any_memory_order() -> None:
    rng = np.random.default_rng(0)
    heat, tags = rng.random((2, 14, 20, 24)), rng.random((2, 14, 10, 12, 2))
    expected = decode(heat, tags)
    mirrored = decode(np.ascontiguousarray(heat[..., ::-1])[..., ::-1], np.asfortranarray(tags))
    last = np.ascontiguousarray(np.moveaxis(heat, 1, -1))
    turned = decode(np.moveaxis(last, -1, 1), tags[..., ::-1, :][..., ::-1, :])
    for one, two, three in zip(expected, mirrored, turned, strict=True):
        assert np.array_equal(one.keypoints, two.keypoints)
        assert np.array_equal(one.keypoints, three.keypoints)


def test_peaks_without_any() -> None:
    peaks = find_peaks(np.zeros((2, 4, 4), np.float32), 0.1, 5)
    assert isinstance(peaks, Peaks)
    assert len(peaks.joint) == 0
    assert refine_position(np.zeros((2, 4, 4), np.float32), peaks).shape == (0, 2)


def joined(rule: str, tags: list[list[float]]) -> list[int]:
    """The person of each peak of joints 0, 1, ..., whose tags `tags` lists, the highest first."""
    joint = np.repeat(np.arange(len(tags)), [len(each) for each in tags])
    tag = np.array([value for each in tags for value in each], np.float32)[:, None]
    score = np.concatenate([np.linspace(0.9, 0.5, len(each), dtype=np.float32) for each in tags])
    return match(joint, score, tag, range(len(tags)), 30, 1.0, RULES.get(rule)).tolist()


def test_rules_by_hand() -> None:
    # A third person's joint, far from all: tags on a line make both pairings cost the same, and the one taken
    # tears the good pair apart. Greedily the stranger founds a person of its own.
    assert joined("hungarian", [[0, 3], [-5, 0.1]]) == [0, 1, 2, 3]
    assert joined("greedy", [[0, 3], [-5, 0.1]]) == [0, 1, 2, 0]
    # Two joints near the same person: the lowest total, or the highest first.
    assert joined("hungarian", [[0, 2], [0.8, 0.3]]) == [0, 1, 2, 0]
    assert joined("greedy", [[0, 2], [0.8, 0.3]]) == [0, 1, 0, 2]
    # Rounded distances 0 and 0: the person founded first; the next joint gets who is left.
    assert joined("greedy", [[0, 0.8], [0.45, 0.4]])[2:] == [0, 1]
    # Never from the threshold on, even if it rounds to 1; and a person's tag is the mean of its joints'.
    assert joined("greedy", [[0], [1.0]]) == [0, 1]
    assert joined("greedy", [[0], [0.9], [1.4]]) == [0, 0, 0]
    assert joined("greedy", [[0], [float("nan"), 0.2]]) == [0, 1, 0]
    assert joined("greedy", [[0], []]) == [0]
    # Whoever was founded first, however near the others are; the threshold holds.
    assert joined("first", [[0, 0.9], [0.9, 0.0]]) == [0, 1, 0, 1]
    assert joined("greedy", [[0, 0.9], [0.9, 0.0]]) == [0, 1, 1, 0]
    assert joined("first", [[0, 3], [2.1, 1.0]]) == [0, 1, 1, 2]
