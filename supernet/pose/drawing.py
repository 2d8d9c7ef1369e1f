"""People over images: left and right told apart by colour, lines that suit the size of person and image."""

from __future__ import annotations

import os
from typing import Any

import cv2
import numpy as np

from .people import Floats
from .people import People
from .preprocess import UInt8
from .preprocess import check_image
from .skeletons import Skeleton

# RGB; orange and blue stay apart for colour-blind eyes.
SIDE_COLOURS = {"left": (255, 128, 14), "right": (40, 140, 255), "middle": (120, 220, 90)}
_OUTLINE = (20, 20, 20)
_SHIFT = 4  # OpenCV draws at sixteenths of a pixel


def draw_people(
    image: Any,
    people: People,
    skeleton: Skeleton | str | os.PathLike[str] = "crowdpose",
    min_score: float = 0.05,
    min_joint_score: float = 0.1,
    thickness: float | None = None,
) -> UInt8:
    """A copy of `image` with a skeleton for each person, the best on top.

    Args:
        image: (H, W, 3) uint8 RGB.
        people: in the image's coordinates.
        skeleton: whose edges to draw; a limb is drawn when both its joints are.
        min_score, min_joint_score: people and joints below these are left out.
        thickness: of limbs in pixels; by default it follows the size of each person and of the image.

    Raises:
        InputError: no such image.
    """
    canvas = check_image(image).copy()
    layout = Skeleton.load(skeleton)
    for pose, score in zip(people.keypoints[::-1], people.scores[::-1], strict=True):
        if score >= min_score:
            width = thickness if thickness is not None else _thickness(pose, canvas.shape)
            _draw_pose(canvas, pose, layout, min_joint_score, width)
    return canvas


def _thickness(pose: Floats, shape: tuple[int, ...]) -> float:
    """About a sixtieth of the person, held between what is visible and what hides the image."""
    found = pose[pose[:, 2] > 0, :2]
    extent = float(np.ptp(found, axis=0).max()) if len(found) else 0.0
    smallest = max(1.0, min(shape[:2]) / 500)
    return min(max(extent / 60, smallest), 6 * smallest)


def _draw_pose(canvas: UInt8, pose: Floats, skeleton: Skeleton, min_joint_score: float, width: float) -> None:
    shown = (pose[:, 2] >= min_joint_score) & (pose[:, 2] > 0)
    # OpenCV counts the centre of pixel i as i; far-off joints would overflow its fixed-point numbers.
    places = np.clip(pose[:, :2] - 0.5, -16000, 16000)
    points = np.round(places * 2**_SHIFT).astype(int).tolist()
    limbs = [(a, b) for a, b in skeleton.edges if shown[a] and shown[b]]
    outline = max(1.0, 0.35 * width)
    for extra in (outline, 0.0):
        for a, b in limbs:
            colour = _OUTLINE if extra else SIDE_COLOURS[_edge_side(skeleton, a, b)]
            _line(canvas, points[a], points[b], colour, width + 2 * extra)
    for joint in np.flatnonzero(shown):
        for extra in (outline, 0.0):
            colour = _OUTLINE if extra else SIDE_COLOURS[skeleton.side(int(joint))]
            radius = round((0.9 * width + extra) * 2**_SHIFT)
            cv2.circle(canvas, points[joint], radius, colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _edge_side(skeleton: Skeleton, a: int, b: int) -> str:
    """The side of a limb: its joints' own, or middle where they stand on different sides."""
    sides = {skeleton.side(a), skeleton.side(b)} - {"middle"}
    return sides.pop() if len(sides) == 1 else "middle"


def _line(canvas: UInt8, start: list[int], end: list[int], colour: tuple[int, ...], width: float) -> None:
    cv2.line(canvas, start, end, colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)
