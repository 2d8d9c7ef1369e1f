"""Procedural scenes: what the labels promise, and how hard the scenes are."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from supernet.data.synthetic.crowds import Crowd, render_crowd
from supernet.data.synthetic.options import SyntheticOptions
from supernet.data.synthetic.scene import Scene, person_annotation, render_scene
from supernet.errors import InputError
from supernet.pose.protocols import crowd_index

COUNT = 200


def scene(index: int, options: SyntheticOptions) -> Scene:
    return render_scene(np.random.SeedSequence(3, spawn_key=(0, index)), options)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    options = SyntheticOptions(size=96)
    return [scene(i, options) for i in range(COUNT)]


def test_people_per_image(scenes: list[Scene]) -> None:
    counts = np.bincount([len(s.people) for s in scenes], minlength=6)
    assert counts[0] == 0
    assert (counts[1:6] > 0).all()
    assert len(counts) == 6
    assert counts[3:].sum() >= 0.5 * COUNT


def test_people_are_a_quarter_to_almost_all_of_the_image_high(scenes: list[Scene]) -> None:
    shares = [box[3] / s.image.shape[0] for s in scenes for _, box, _ in s.people]
    assert 0.25 <= min(shares) < 0.32
    assert 0.85 < max(shares) <= 0.95


def test_crowding(scenes: list[Scene]) -> None:
    indices = np.array([crowd_index([person_annotation(0, 0, *p) for p in s.people]) for s in scenes])
    assert (indices < 0.2).mean() > 0.2
    assert ((indices >= 0.2) & (indices < 0.8)).mean() >= 0.3
    assert (indices >= 0.8).mean() >= 0.1


def test_labels_are_in_the_picture_and_everybody_can_be_seen(scenes: list[Scene]) -> None:
    flags = np.zeros(3)
    for one in scenes:
        height, width = one.image.shape[:2]
        assert one.image.dtype == np.uint8
        for keypoints, (x, y, w, h), iscrowd in one.people:
            joints = np.array(keypoints).reshape(14, 3)
            labelled = joints[joints[:, 2] > 0]
            assert (labelled[:, :2] >= 0).all()
            assert (labelled[:, 0] < width).all()
            assert (labelled[:, 1] < height).all()
            assert (joints[joints[:, 2] == 0] == 0).all()
            assert (joints[:12, 2] == 2).sum() >= 4
            assert iscrowd == 0
            # Rounded joints may lie half a pixel outside the box.
            assert (labelled[:, :2] >= (x - 0.51, y - 0.51)).all()
            assert (labelled[:, :2] <= (x + w + 0.51, y + h + 0.51)).all()
            flags += np.bincount(joints[:, 2], minlength=3)
    share = flags / flags.sum()
    assert share[1] > 0.1  # occluded
    assert share[2] > 0.5


def test_sizes_and_shapes_vary(scenes: list[Scene]) -> None:
    sides = np.array([s.image.shape[:2] for s in scenes], float)
    aspects = sides[:, 1] / sides[:, 0]
    assert aspects.min() < 0.85
    assert aspects.max() > 1.3
    assert np.sqrt(sides.prod(1)) == pytest.approx(96, rel=0.01)


def test_a_scene_depends_on_its_seed_alone() -> None:
    options = SyntheticOptions(size=96)
    first, again, other = scene(5, options), scene(5, options), scene(6, options)
    assert np.array_equal(first.image, again.image)
    assert first.people == again.people
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image)


def test_the_renderer_draws_what_it_always_drew() -> None:
    """Bytes of today, the same on every processor; a new renderer or library changes them on purpose."""
    joints = np.array([[20 + 3 * i, 12 + 4 * (i % 9), 2 - i % 2] for i in range(14)], float)
    crowd = Crowd(80, 60, joints[None].repeat(2, 0), np.array([[18.0, 8, 50, 48]] * 2), (0, 0))
    options = SyntheticOptions(size=48, people=(0, 1, 2))
    seeds = [np.random.SeedSequence(3, spawn_key=(0, i)) for i in range(6)]
    scenes = [render_scene(seed, options) for seed in seeds[:5]]
    scenes.append(render_crowd(seeds[5], options, [crowd] * 3, "val", 1))
    pixels = hashlib.sha256(b"".join(scene.image.tobytes() for scene in scenes)).hexdigest()
    labels = hashlib.sha256(repr([scene.people for scene in scenes]).encode()).hexdigest()
    assert (pixels[:16], labels[:16]) == ("5fed065122b97762", "3addf595b3ebcdce")


def test_crowding_knob() -> None:
    def mean_index(crowding: float) -> float:
        options = SyntheticOptions(size=64, people=(0, 0, 1), crowding=crowding)
        return float(
            np.mean(
                [
                    crowd_index([person_annotation(0, 0, *p) for p in scene(i, options).people])
                    for i in range(30)
                ]
            )
        )

    assert mean_index(1.0) > mean_index(0.0) + 0.2


def test_clutter_noise_and_occluders_can_be_turned_off() -> None:
    calm = SyntheticOptions(size=64, people=(1,), clutter=0, noise=0, occluders=0)
    assert scene(0, calm).people
    hidden = dataclasses.replace(calm, occluders=1.0)
    flags = [np.array(scene(i, o).people[0][0][2::3]) for o in (calm, hidden) for i in range(30)]
    assert sum((f == 1).sum() for f in flags[30:]) > sum((f == 1).sum() for f in flags[:30])


def test_impossible_wishes_still_give_a_scene() -> None:
    options = SyntheticOptions(size=64, people=(0,) * 11 + (1,), height=(0.9, 0.95), crowding=1.0)
    assert len(scene(0, options).people) == 12


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("train", 0),
        ("size", 8),
        ("aspect", (2.0, 1.0)),
        ("people", (0.0, 0.0)),
        ("people", ()),
        ("height", (0.5,)),
        ("crowding", 1.5),
        ("quality", 0),
        ("workers", -1),
    ],
)
def test_options_out_of_range_are_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"data\.render\.{name}="):
        dataclasses.replace(SyntheticOptions(), **{name: value})  # type: ignore[arg-type]
