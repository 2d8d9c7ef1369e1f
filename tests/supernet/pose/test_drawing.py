"""Drawings: the right colours in the right places, inputs untouched, sheets that hold every picture."""

from __future__ import annotations

import numpy as np
import pytest

from supernet.errors import InputError
from supernet.pose import People, Skeleton, contact_sheet, draw_heatmaps, draw_people, draw_tags
from supernet.pose.drawing import SIDE_COLOURS


def person(place: float = 40.0, score: float = 0.9) -> People:
    """Left joints in a column at `place`, right joints 40 to the right, head and neck between them."""
    keypoints = np.zeros((1, 14, 3), np.float32)
    for joint, name in enumerate(Skeleton.load("crowdpose").joints):
        keypoints[0, joint, 0] = place + {"l": 0, "r": 40}.get(name[0], 20)
        keypoints[0, joint, 1] = 20 + 8 * joint
    keypoints[..., 2] = score
    return People(keypoints, np.zeros((1, 1), np.float32), np.array([score], np.float32))


def near(image: np.ndarray, x: float, y: float, colour: tuple[int, ...]) -> bool:
    return bool(np.abs(image[int(y), int(x)].astype(int) - colour).max() < 30)


def test_left_and_right_have_their_own_colour() -> None:
    image = np.zeros((160, 160, 3), np.uint8)
    people = person()
    drawn = draw_people(image, people)
    assert not image.any()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    for joint, (x, y, _) in enumerate(people.keypoints[0]):
        assert near(drawn, x, y, SIDE_COLOURS[Skeleton.load("crowdpose").side(joint)]), joint
    elbow, wrist = people.keypoints[0, [2, 4], :2]
    assert near(drawn, *((elbow + wrist) / 2), SIDE_COLOURS["left"])
    hips = people.keypoints[0, [6, 7], :2].mean(axis=0)
    assert near(drawn, *hips, SIDE_COLOURS["middle"])


def test_what_is_too_unsure_is_left_out() -> None:
    image = np.zeros((160, 160, 3), np.uint8)
    assert not draw_people(image, person(score=0.04)).any()
    assert draw_people(image, person(score=0.04), min_score=0, min_joint_score=0).any()
    people = person()
    people.keypoints[0, :, 2] = 0.05
    assert not draw_people(image, people).any()
    people.keypoints[0, :] = 0  # joints that were not found
    assert not draw_people(image, people, min_joint_score=0).any()
    assert not draw_people(image, people.select(slice(0, 0))).any()


def test_lines_follow_person_and_image() -> None:
    def painted(size: int, scale: float) -> float:
        people = person()
        people.keypoints[..., :2] *= scale
        return float(draw_people(np.zeros((size, size, 3), np.uint8), people).any(axis=2).sum() / scale)

    assert painted(640, 4) > 1.5 * painted(160, 1)
    thin, thick = (draw_people(np.zeros((160, 160, 3), np.uint8), person(), thickness=t) for t in (1, 6))
    assert thick.any(axis=2).sum() > 1.5 * thin.any(axis=2).sum()


def test_joints_far_outside_are_harmless() -> None:
    people = person()
    people.keypoints[0, ::2, :2] = (1e7, -1e7)
    draw_people(np.zeros((64, 64, 3), np.uint8), people)


def test_heatmaps_and_tags_show_where_the_joints_are() -> None:
    image = np.full((64, 96, 3), 100, np.uint8)
    heat, tags = np.zeros((2, 32, 48), np.float32), np.zeros((2, 16, 24, 1), np.float32)
    heat[0, 10, 10] = heat[1, 20, 40] = 1
    tags[0, :8, :12], tags[1, 8:, 12:] = -1, 1
    hot = draw_heatmaps(image, heat)
    assert np.ptp(hot[40:, :60].reshape(-1, 3), axis=0).max() == 0
    assert hot[21, 21].astype(int).sum() > 1.5 * hot[50, 10].astype(int).sum()
    coloured = draw_tags(image, heat, tags)
    assert np.abs(coloured[21, 21].astype(int) - coloured[41, 81]).max() > 60
    assert (image == 100).all()
    assert draw_heatmaps(image, heat[0]).shape == image.shape
    assert draw_tags(image, 0 * heat, tags).shape == image.shape
    with pytest.raises(InputError, match="same J"):
        draw_tags(image, heat[:1], tags)
    with pytest.raises(InputError, match="heatmaps must be"):
        draw_heatmaps(image, heat[None])


def test_contact_sheet() -> None:
    shades = [40, 90, 140, 190, 240]
    images = [np.full((20 + 10 * i, 60, 3), shade, np.uint8) for i, shade in enumerate(shades)]
    sheet = contact_sheet(images, [f"picture {i} ä" for i in range(5)], cell=(100, 80))
    assert sheet.shape == (2 * (80 + 28 + 8) + 8, 3 * 108 + 8, 3)
    for index, shade in enumerate(shades):
        row, column = divmod(index, 3)
        assert (sheet[8 + row * 116 + 28 + 40, 8 + column * 108 + 50] == shade).all()
    assert (sheet[8:36, 8:108] < 100).any()  # the title
    assert contact_sheet(images[:1]).shape == (336, 336, 3)
    assert contact_sheet(images, columns=1, cell=(50, 50)).shape == (5 * 58 + 8, 66, 3)
    with pytest.raises(InputError):
        contact_sheet([])
    with pytest.raises(InputError):
        contact_sheet(images, ["one"])
    with pytest.raises(InputError):
        draw_people(np.zeros((4, 4), np.uint8), person())
