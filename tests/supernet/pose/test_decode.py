"""Decoding: exact answers on clean maps, the literal decoder on noisy ones, and what users may pass in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks.decode import literal
from supernet.errors import InputError
from supernet.pose import DecodeOptions, People, Skeleton, decode, decode_peaks

CROWDPOSE = Skeleton.load("crowdpose")


def clean_maps(
    poses: np.ndarray, tags: np.ndarray, size: tuple[int, int], sigma: float = 2.0
) -> tuple[np.ndarray, np.ndarray]:
    """Heatmaps (J, H, W) of Gaussians as high as the joints' scores, and tags (J, H, W, T) of the nearest."""
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    heat = np.zeros((poses.shape[1], *size), np.float32)
    tag_map = np.zeros((poses.shape[1], *size, tags.shape[1]), np.float32)
    for joint in range(poses.shape[1]):
        square = np.array([(x - px) ** 2 + (y - py) ** 2 for px, py, _ in poses[:, joint]])
        peaks = poses[:, joint, 2, None, None] * np.exp(-square / (2 * sigma**2))
        heat[joint] = peaks.max(axis=0)
        tag_map[joint] = tags[square.argmin(axis=0)]
    return heat, tag_map


def crowd(rng: np.random.Generator, people: int, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """(P, 14, 3) poses whose joints of one type are at least 8 pixels apart and 4 from the border."""
    poses = np.zeros((people, 14, 3))
    for joint in range(14):
        points: list[np.ndarray] = []
        while len(points) < people:
            point = rng.uniform((4, 4), (size[1] - 4, size[0] - 4))
            if all(np.hypot(*(point - other)) > 8 for other in points):
                points.append(point)
        poses[:, joint, :2] = points
    poses[..., 2] = rng.uniform(0.3, 1, poses.shape[:2])
    return poses


def closest(people: People, poses: np.ndarray) -> np.ndarray:
    """The people in the order of `poses`, paired by their neck."""
    necks = people.keypoints[None, :, 13, :2] - poses[:, None, 13, :2]
    return people.keypoints[np.hypot(*np.moveaxis(necks, -1, 0)).argmin(axis=1)]


@pytest.mark.parametrize("coarse", [1, 2])
@pytest.mark.parametrize("depth", [1, 2])
def test_clean_maps_give_everybody_back(coarse: int, depth: int) -> None:
    rng = np.random.default_rng(coarse)
    poses = crowd(rng, 5)
    tags = np.arange(5)[:, None] * 2.0 + rng.normal(0, 0.1, (5, depth))
    heat, tag_map = clean_maps(poses, tags, (96, 128))
    people = decode(heat[None], tag_map[None, :, ::coarse, ::coarse])[0]
    assert len(people) == 5
    found = closest(people, poses)
    assert np.abs(found[..., :2] - poses[..., :2]).max() < 0.12
    assert np.allclose(people.scores, people.keypoints[..., 2].mean(axis=1))
    assert (np.diff(people.scores) <= 0).all()
    assert people.keypoints.dtype == people.tags.dtype == people.scores.dtype == np.float32
    assert people.keypoints.shape == (5, 14, 3)
    assert people.tags.shape == (5, depth)


def test_a_peak_is_found_below_the_pixel() -> None:
    for place in (20.5, 20.7, 20.95, 21.0, 21.05, 21.3):
        poses = np.zeros((1, 14, 3))
        poses[0, :, :2], poses[0, :, 2] = place, 0.8
        heat, tags = clean_maps(poses, np.zeros((1, 1)), (40, 48))
        people = decode(heat[None], tags[None])[0]
        assert len(people) == 1, place  # two equal pixels are one joint
        assert np.abs(people.keypoints[..., :2] - place).max() < 0.03


@pytest.mark.parametrize("corner", [(0.5, 0.5), (47.5, 39.5)])
def test_peaks_on_the_border(corner: tuple[float, float]) -> None:
    poses = np.zeros((1, 14, 3))
    poses[0, :] = (*corner, 0.7)
    heat, tags = clean_maps(poses, np.zeros((1, 1)), (40, 48))
    people = decode(heat[None], tags[None])[0]
    assert np.allclose(people.keypoints[0], (*corner, 0.7))


def test_flat_maps_and_nothing() -> None:
    tags = np.zeros((2, 14, 20, 24, 1))
    flat = decode(np.ones((2, 14, 20, 24)), tags)
    assert [len(people) for people in flat] == [1, 1]
    empty = decode(np.full((2, 14, 20, 24), 0.1), tags)
    for people in empty:
        assert people.keypoints.shape == (0, 14, 3)
        assert people.tags.shape == (0, 1)
        assert people.scores.shape == (0,)
    assert decode(np.zeros((0, 14, 20, 24)), np.zeros((0, 14, 20, 24, 1))) == []
    broken = np.full((1, 14, 20, 24), np.nan)
    assert len(decode(broken, tags[:1])[0]) == 0
    assert len(decode(np.ones((1, 14, 20, 24)), tags[:1] * np.nan)[0]) >= 1


def noisy_maps(seed: int, people: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    poses = crowd(rng, people)
    poses[..., 2] *= rng.random(poses.shape[:2]) < 0.8
    heat, tags = clean_maps(
        poses, np.arange(people)[:, None] * 1.0 + rng.normal(0, 0.1, (people, 2)), (96, 128)
    )
    heat += rng.normal(0, 0.03, heat.shape).astype(np.float32)
    return heat, tags + rng.normal(0, 0.2, tags.shape).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("refine", [False, True])
def test_same_people_as_the_literal_decoder(seed: int, refine: bool) -> None:
    heat, tags = noisy_maps(seed)
    poses, scores = literal.decode(heat, tags, CROWDPOSE, window=3, refine=refine)
    order = np.argsort(-scores, kind="stable")[:30]
    options = DecodeOptions(refine=refine, matching="hungarian")
    people = decode(heat[None], tags[None], options=options)[0]
    assert np.allclose(people.scores, scores[order], atol=1e-6)
    assert np.allclose(people.keypoints[..., 2], poses[order][..., 2], atol=1e-6)
    # Quarter-pixel steps on one side, a parabola on the other: never further apart than the same pixel allows
    assert np.abs(people.keypoints[..., :2] - poses[order][..., :2]).max() <= 0.75


def test_joints_that_grouping_missed_come_from_the_tags() -> None:
    rng = np.random.default_rng(0)
    poses = crowd(rng, 3)
    poses[1, 4, 2] = 0.06  # below the threshold
    heat, tags = clean_maps(poses, np.array([[0.0], [3.0], [6.0]]), (96, 128))
    plain = closest(decode(heat[None], tags[None], options=DecodeOptions(refine=False))[0], poses)
    assert (plain[1, 4] == 0).all()
    for factor in (1, 2, 4):
        coarse = tags[None, :, factor // 2 :: factor, factor // 2 :: factor]
        refined = decode(heat[None], coarse)[0]
        found = closest(refined, poses)
        assert np.abs(found[1, 4, :2] - poses[1, 4, :2]).max() < 0.2
        assert found[1, 4, 2] == pytest.approx(0.06, abs=0.005)
        assert refined.scores == pytest.approx(
            decode(heat[None], coarse, options=DecodeOptions(refine=False))[0].scores
        )


def test_tags_of_any_lower_resolution() -> None:
    rng = np.random.default_rng(2)
    poses = crowd(rng, 3)
    poses[1, 4, 2] = 0.06
    heat, tags = clean_maps(poses, np.array([[0.0], [3.0], [6.0]]), (96, 128))
    import cv2

    coarse = np.stack([cv2.resize(plane[..., 0], (51, 38))[..., None] for plane in tags])
    found = closest(decode(heat[None], coarse[None])[0], poses)
    assert np.abs(found[..., :2] - poses[..., :2]).max() < 0.3


def test_head_and_neck_found_people_before_limbs() -> None:
    """A stray wrist with a tag between two people must not become the person that the others join."""
    options = DecodeOptions(refine=False)
    poses = np.zeros((2, 14, 3))
    poses[0, :] = (20, 20, 0.9)
    poses[1, :] = (60, 20, 0.8)
    poses[:, :, 1] += np.arange(14) * 4
    heat, tags = clean_maps(poses, np.array([[0.0], [1.4]]), (96, 128))
    heat[4, 80, 100], tags[4, 75:85, 95:105] = 1.0, 0.7
    people = decode(heat[None], tags[None], options=options)[0]
    assert len(people) >= 2
    best = closest(people, poses)
    assert np.abs(best[0, [12, 13, 0, 1], :2] - poses[0, [12, 13, 0, 1], :2]).max() < 0.1
    assert np.abs(best[1, [12, 13, 0, 1], :2] - poses[1, [12, 13, 0, 1], :2]).max() < 0.1


def test_limits_and_thresholds() -> None:
    rng = np.random.default_rng(3)
    poses = crowd(rng, 6)
    poses[3:, :, 2] = 0.2
    heat, tags = clean_maps(poses, np.arange(6)[:, None] * 2.0, (96, 128))
    assert len(decode(heat[None], tags[None], options=DecodeOptions(max_people=2))[0]) == 2
    assert len(decode(heat[None], tags[None], options=DecodeOptions(threshold=0.25))[0]) == 3
    drifting = tags[None] + 0.01 * np.arange(14)[:, None, None, None]
    assert len(decode(heat[None], drifting)[0]) == 6
    assert len(decode(heat[None], drifting, options=DecodeOptions(tag_threshold=0.001))[0]) == 30
    for wrong in (
        {"max_people": 0},
        {"threshold": 0},
        {"tag_threshold": -1},
        {"nms_window": 4},
        {"oks_nms": 2},
    ):
        with pytest.raises(InputError):
            DecodeOptions(**wrong)


def test_oks_suppression_drops_duplicates() -> None:
    pose = crowd(np.random.default_rng(4), 1)
    scores = np.array([[[0.9, 0.5]] * 14])
    positions = np.repeat(pose[None, 0, :, None, :2], 2, axis=2)
    peaks = (scores, positions, np.array([[[0.0, 3.0]] * 14]))
    assert len(decode_peaks(*peaks)[0]) == 2
    kept = decode_peaks(*peaks, options=DecodeOptions(oks_nms=0.9))[0]
    assert kept.scores.tolist() == pytest.approx([0.9])


def test_peaks_from_elsewhere_group_alike() -> None:
    heat, tags = noisy_maps(1)
    from supernet.pose.peaks import find_peaks, refine_position

    peaks = find_peaks(heat, 0.1, 30)
    scores, positions = np.zeros((1, 14, 30)), np.zeros((1, 14, 30, 2))
    own = np.zeros((1, 14, 30, 2))
    place = refine_position(heat, peaks)
    for joint in range(14):
        who = np.flatnonzero(peaks.joint == joint)
        scores[0, joint, : len(who)], positions[0, joint, : len(who)] = peaks.score[who], place[who]
        own[0, joint, : len(who)] = tags[joint, peaks.row[who], peaks.column[who]]
    (given,) = decode_peaks(scores, positions, own)
    (whole,) = decode(heat[None], tags[None], options=DecodeOptions(refine=False))
    assert np.allclose(given.keypoints, whole.keypoints, atol=1e-5)
    with pytest.raises(InputError, match="do not fit"):
        decode_peaks(scores, positions[:, :, :5], own)
    with pytest.raises(InputError, match="peaks of 13 joints"):
        decode_peaks(scores[:, :13], positions[:, :13], own[:, :13])


def test_tensors_batches_and_repeats() -> None:
    torch = pytest.importorskip("torch")
    maps = [noisy_maps(seed) for seed in range(3)]
    heat, tags = (np.stack(part) for part in zip(*maps, strict=True))
    together = decode(heat, tags)
    for single, people in zip(maps, together, strict=True):
        (alone,) = decode(single[0][None], single[1][None])
        assert np.array_equal(alone.keypoints, people.keypoints)
        assert np.array_equal(alone.tags, people.tags)
    tensors = decode(torch.from_numpy(heat).requires_grad_(), torch.from_numpy(tags))
    assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(tensors, together, strict=True))
    rough = decode(torch.from_numpy(heat).bfloat16(), torch.from_numpy(tags))
    assert len(rough) == 3


def test_other_layouts() -> None:
    coco = Skeleton.load("coco")
    heat = np.zeros((1, 17, 30, 40))
    heat[:, :, 10, 12] = 0.9
    people = decode(heat, np.zeros((1, 17, 30, 40, 1)), coco)[0]
    assert people.keypoints.shape == (1, 17, 3)
    assert np.allclose(people.keypoints[0], (12.5, 10.5, 0.9))


@pytest.mark.parametrize(
    ("heat", "tags", "message"),
    [
        ((1, 17, 8, 8), (1, 17, 8, 8, 1), "17 joints, skeleton 'crowdpose' has 14"),
        ((1, 14, 8, 8), (1, 13, 8, 8, 1), "differ in images or joints"),
        ((2, 14, 8, 8), (1, 14, 8, 8, 1), "differ in images or joints"),
        ((14, 8, 8), (1, 14, 8, 8, 1), "decode takes"),
        ((1, 14, 8, 8), (1, 14, 8, 8), "decode takes"),
        ((1, 14, 0, 8), (1, 14, 8, 8, 1), "empty"),
        ((1, 14, 8, 8), (1, 14, 8, 8, 0), "empty"),
    ],
)
def test_shapes_that_do_not_fit(heat: tuple[int, ...], tags: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode(np.zeros(heat), np.zeros(tags))


def test_runs_without_torch_yaml_and_the_scorers(tmp_path: Path) -> None:
    """The whole of inference, decoding and drawing with numpy, scipy and OpenCV alone."""
    script = tmp_path / "alone.py"
    script.write_text(
        """
import sys, importlib.abc, json
class Forbid(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"forbidden: {name}")
FORBIDDEN = {"torch", "yaml", "hydra", "omegaconf", "pycocotools", "faster_coco_eval", "matplotlib", "onnx"}
sys.meta_path.insert(0, Forbid())
import numpy as np
from supernet.pose import Skeleton, decode, infer, to_coco_results, draw_people, InferenceOptions
heat = np.zeros((1, 14, 32, 32), np.float32); heat[:, :, 9, 9] = 0.9
people = decode(heat, np.zeros((1, 14, 16, 16, 1)))
image = np.zeros((64, 64, 3), np.uint8)
def run(x):
    b, _, h, w = x.shape
    half = np.zeros((b, 14, h // 2, w // 2)); half[:, :, h // 4, w // 4] = 1
    return [np.zeros((b, 28, h // 4, w // 4)), half]
found = infer(run, [image], options=InferenceOptions(resolution=64))
drawn = draw_people(image, found[0])
print(json.dumps([len(people[0]), len(to_coco_results(found, [1])), int(drawn.max() > 0)]))
"""
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, script], cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [1, 1, 1]
