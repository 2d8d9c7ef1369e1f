"""Test-time inference: geometry there and back, passes merged right, batches that change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from supernet.errors import InputError
from supernet.heads.embedding import EMBEDDING, merge_passes
from supernet.pose import (
    InferenceOptions,
    People,
    Skeleton,
    infer,
    infer_prepared,
    prepare,
    preprocess,
    to_coco_results,
)
from supernet.pose.preprocess import IMAGE_MEAN, IMAGE_STD, normalise

CROWDPOSE = Skeleton.load("crowdpose")
SIZES = [(480, 640), (640, 480), (333, 500), (500, 500), (1000, 795), (101, 400), (900, 700)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resolution", [256, 320, 512])
def test_input_size(size: tuple[int, int], resolution: int) -> None:
    view = preprocess(np.zeros((*size, 3), np.uint8), resolution)
    short = 0 if size[0] <= size[1] else 1
    assert view.size[short] == resolution
    assert view.size[1 - short] % 64 == 0
    needed = size[1 - short] * resolution / size[short]
    assert needed <= view.size[1 - short] < needed + 64
    # uniform scale, centred
    for side in (0, 1):
        assert view.offset[1 - side] == pytest.approx((view.size[side] - size[side] * view.scale) / 2)


def test_exact_multiples_stay() -> None:
    assert preprocess(np.zeros((300, 600, 3), np.uint8), 448).size == (448, 896)
    assert preprocess(np.zeros((601, 600, 3), np.uint8), 512).size == (576, 512)
    assert preprocess(np.zeros((600, 600, 3), np.uint8), 448, scale=0.5).size == (224, 256)
    assert preprocess(np.zeros((600, 600, 3), np.uint8), 500).size == (512, 512)
    for size in SIZES:
        square = preprocess(np.zeros((*size, 3), np.uint8), 256, square=True)
        assert square.size == (256, 256)
        assert square.scale == pytest.approx(256 / max(size))


def centre(image: np.ndarray) -> np.ndarray:
    """Continuous x, y of the centre of what is bright."""
    weight = image[..., 0].astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("square", [False, True])
def test_a_mark_lands_where_the_affine_says(size: tuple[int, int], square: bool) -> None:
    image = np.zeros((*size, 3), np.uint8)
    top, left = size[0] // 3, size[1] // 2
    side = max(6, min(size) // 12)
    image[top : top + side, left : left + side] = 255
    view = preprocess(image, 256, square=square)
    expected = np.array([left + side / 2, top + side / 2]) * view.scale + view.offset
    assert np.abs(centre(view.pixels) - expected).max() < 0.25


def test_padding_is_black_and_the_image_is_not_touched() -> None:
    image = np.full((100, 300, 3), 200, np.uint8)
    view = preprocess(image, 64, square=True)
    assert (view.pixels[:20] == 0).all()
    assert (view.pixels[25:40] == 200).all()
    assert (image == 200).all()
    wide = preprocess(np.full((100, 201, 3), 200, np.uint8), 64)
    assert wide.size == (64, 192)
    assert (wide.pixels[:, :30] == 0).all()
    assert (wide.pixels[:, 33:159] == 200).all()


def test_normalise() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 8, 12, 3), dtype=np.uint8)
    expected = ((images / 255 - IMAGE_MEAN) / IMAGE_STD).transpose(0, 3, 1, 2)
    batch = normalise(list(images))
    assert batch.dtype == np.float32
    assert np.abs(batch - expected).max() < 1e-6


def outputs(rng: np.random.Generator, height: int = 12, width: int = 20) -> tuple[np.ndarray, np.ndarray]:
    quarter = rng.random((28, height, width), np.float32)
    return quarter, rng.random((14, 2 * height, 2 * width), np.float32)


def test_merging_by_its_definition() -> None:
    rng = np.random.default_rng(0)
    passes = [outputs(rng), outputs(rng)]
    before = [part.copy() for each in passes for part in each]
    heat, tags = merge_passes(passes, CROWDPOSE.flip)
    assert heat.shape == (14, 24, 40)
    assert tags.shape == (14, 12, 20, 2)
    for joint, mirror in enumerate(CROWDPOSE.flip):
        maps = []
        for channel, step, (quarter, half) in ((joint, 1, passes[0]), (mirror, -1, passes[1])):
            maps += [cv2.resize(quarter[channel], (40, 24))[:, ::step], half[channel][:, ::step]]
        assert np.allclose(heat[joint], np.mean(maps, axis=0), atol=1e-6)
        assert np.array_equal(tags[joint, ..., 0], passes[0][0][14 + joint])
        assert np.array_equal(tags[joint, ..., 1], passes[1][0][14 + mirror][:, ::-1])
    after = [part for each in passes for part in each]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_mirrored_pass_of_the_same_answer_changes_nothing() -> None:
    quarter, half = outputs(np.random.default_rng(1))
    both = [*CROWDPOSE.flip, *(14 + joint for joint in CROWDPOSE.flip)]
    mirrored = quarter[both][..., ::-1], half[list(CROWDPOSE.flip)][..., ::-1]
    mirrored = tuple(np.ascontiguousarray(part) for part in mirrored)
    alone = merge_passes([(quarter, half)], CROWDPOSE.flip)
    twice = merge_passes([(quarter, half), (mirrored[0], mirrored[1])], CROWDPOSE.flip)
    assert np.allclose(alone[0], twice[0], atol=1e-6)
    assert np.array_equal(alone[1][..., 0], twice[1][..., 1])


class Marks:
    """A network that sees red blobs as all joints of a person, and their green as the tag."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, batch: np.ndarray) -> Sequence[np.ndarray]:
        self.shapes.append(batch.shape)
        heads: list[list[np.ndarray]] = [[], []]
        for image in batch:
            plain = image.transpose(1, 2, 0) * IMAGE_STD + IMAGE_MEAN
            sizes = [(image.shape[2] // stride, image.shape[1] // stride) for stride in (4, 2)]
            small, large = (cv2.resize(plain, size, interpolation=cv2.INTER_AREA) for size in sizes)
            heads[0].append(np.stack([small[..., 0]] * 14 + [small[..., 1] * 8] * 14))
            heads[1].append(np.stack([large[..., 0]] * 14))
        return [np.stack(head).astype(np.float32) for head in heads]


def scene(size: tuple[int, int], places: Sequence[tuple[float, float]]) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    image = np.zeros((*size, 3))
    for number, (px, py) in enumerate(places):
        square = (x - px) ** 2 + (y - py) ** 2
        image[..., 0] += 230 * np.exp(-square / (2 * (min(size) / 40) ** 2))
        image[..., 1] += (60 + 120 * number) * (square < (min(size) / 8) ** 2)
    return image.clip(0, 255).round().astype(np.uint8)


OPTIONS = InferenceOptions(resolution=128)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        replace(OPTIONS, flip=False),
        replace(OPTIONS, square=True),
        replace(OPTIONS, scales=(0.5, 1.0, 1.5)),
        replace(OPTIONS, scales=(2.0, 1.0), flip=False, square=True),
    ],
)
def test_people_come_back_in_image_coordinates(size: tuple[int, int], options: InferenceOptions) -> None:
    places = [(0.3 * size[1], 0.3 * size[0]), (0.7 * size[1], 0.65 * size[0])]
    (people,) = infer(Marks(), [scene(size, places)], options=options)
    assert len(people) == 2
    found = people.keypoints[np.argsort(people.keypoints[:, 0, 0])]
    pixel = max(size) / 128 if options.square else min(size) / 128
    for pose, place in zip(found, places, strict=True):
        assert np.abs(pose[:, :2] - place).max() < 0.5 * pixel
    assert people.tags.shape == (2, 2 if options.flip else 1)


def test_batches_change_nothing() -> None:
    rng = np.random.default_rng(0)
    sizes = [SIZES[i] for i in (0, 1, 0, 3, 0, 0, 1, 0, 3)]
    images = [
        scene(size, [(rng.uniform(0.2, 0.8) * size[1], rng.uniform(0.2, 0.8) * size[0])]) for size in sizes
    ]
    single = infer(Marks(), images, options=replace(OPTIONS, batch_size=1))
    for batch_size in (2, 3, 16):
        net = Marks()
        options = replace(OPTIONS, batch_size=batch_size)
        together = infer(net, (image for image in images), options=options)
        assert len(together) == len(images)
        assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(single, together, strict=True))
        assert max(shape[0] for shape in net.shapes) <= batch_size
        again = infer_prepared(Marks(), prepare(images, options), EMBEDDING, options=options)
        assert all(np.array_equal(a.keypoints, b.keypoints) for a, b in zip(single, again, strict=True))
    assert infer(Marks(), []) == []


def test_images_are_taken_one_batch_at_a_time() -> None:
    taken, waiting = 0, []

    def stream() -> Any:
        nonlocal taken
        for _ in range(12):
            taken += 1
            yield scene((128, 128), [(60, 60)])

    class Counting(Marks):
        def __call__(self, batch: np.ndarray) -> Sequence[np.ndarray]:
            waiting.append(taken)
            return super().__call__(batch)

    infer(Counting(), stream(), options=replace(OPTIONS, batch_size=4, flip=False))
    assert waiting == [4, 8, 12]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((10, 10), np.uint8), "image 1: an image must be an"),
        (np.zeros((10, 10, 4), np.uint8), "must be an"),
        (np.zeros((10, 10, 3), np.float32), "not float32"),
        (np.zeros((0, 10, 3), np.uint8), "must have pixels"),
        (np.zeros((2, 900, 3), np.uint8), "times as long as wide"),
        ("x.jpg", "not str"),
    ],
)
def test_what_is_no_image(image: Any, message: str) -> None:
    good = scene((64, 64), [(30, 30)])
    with pytest.raises(InputError, match=message):
        infer(Marks(), [good, image], options=OPTIONS)


@pytest.mark.parametrize(
    "shapes",
    [
        [(1, 34, 32, 32), (1, 17, 64, 64)],
        [(1, 28, 32, 32)],
        [(1, 28, 32, 32), (1, 14, 32, 32)],
        [(2, 28, 32, 32), (2, 14, 64, 64)],
        [(28, 32, 32), (14, 64, 64)],
    ],
)
def test_outputs_that_do_not_fit(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match="skeleton 'crowdpose' needs 28 channels at 1/4 and 14 at 1/2 scale"):
        infer(lambda _: [np.zeros(shape) for shape in shapes], [scene((64, 64), [(30, 30)])], options=OPTIONS)


def test_wrong_options() -> None:
    for wrong in ({"resolution": 0}, {"batch_size": 0}, {"scales": ()}, {"scales": (1.0, -1.0)}):
        with pytest.raises(InputError):
            InferenceOptions(**wrong)


def test_coco_results() -> None:
    keypoints = np.zeros((2, 14, 3), np.float32)
    keypoints[0, 0] = (10.123456, 20.5, 0.25)
    people = People(keypoints, np.zeros((2, 1), np.float32), np.array([0.5, 0.25], np.float32))
    empty = people.select(slice(0, 0))
    results = to_coco_results([people, empty], [7, 8])
    assert [record["image_id"] for record in results] == [7, 7]
    assert results[0]["keypoints"][:3] == [10.1235, 20.5, 0.25]
    assert len(results[0]["keypoints"]) == 42
    assert results[1]["score"] == 0.25
    import json

    assert json.loads(json.dumps(results)) == results
    with pytest.raises(InputError, match="1 image ids"):
        to_coco_results([people, empty], [7])


def test_joints_not_found_stay_at_zero_when_moved() -> None:
    keypoints = np.zeros((1, 14, 3), np.float32)
    keypoints[0, 2] = (3, 4, 0.5)
    moved = People(keypoints, np.zeros((1, 1)), np.ones(1)).moved((2, 3), (10, 20))
    assert moved.keypoints[0, 2].tolist() == [16, 32, 0.5]
    assert (moved.keypoints[0, :2] == 0).all()
