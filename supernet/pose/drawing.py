"""Heatmaps and tags over images, and sheets of images with titles."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .grouping import to_array
from .people import Floats, People
from .preprocess import UInt8, check_image
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


_BACKGROUND = (245, 245, 245)
_INK = (30, 30, 30)
_DIM = 0.6  # of the image under maps


def draw_heatmaps(image: Any, heatmaps: Any, strength: float = 0.9) -> UInt8:
    """The dimmed `image` with the highest heat of all joints over it.

    Args:
        image: (H, W, 3) uint8 RGB, as the network saw it (`View.pixels`).
        heatmaps: (J, h, w) or (h, w) of the same field of view; 0 is none, 1 a sure joint.
        strength: 0..1, how much of the image a peak hides.

    Raises:
        InputError: no such image, or maps of another shape.
    """
    canvas, heat_hw = check_image(image), _flatten(heatmaps)
    heat_hw = np.clip(_resize(heat_hw, canvas.shape), 0, 1)
    colours = cv2.applyColorMap(np.round(255 * heat_hw).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return _blend(canvas, colours[..., ::-1], strength * _visibility(heat_hw))


def draw_tags(image: Any, heatmaps: Any, tags: Any, strength: float = 0.9) -> UInt8:
    """The dimmed `image` with each joint's tag as a colour where its heat is high.

    One person's joints share a colour when grouping will go well.

    Args:
        image: (H, W, 3) uint8 RGB, as the network saw it.
        heatmaps: (J, h, w).
        tags: (J, h', w') or (J, h', w', T), of which the first is shown.

    Raises:
        InputError: no such image, or maps of other shapes.
    """
    canvas = check_image(image)
    heat_jhw, tags_jhw = to_array(heatmaps), to_array(tags)
    tags_jhw = tags_jhw[..., 0] if tags_jhw.ndim == 4 else tags_jhw
    if heat_jhw.ndim != 3 or tags_jhw.ndim != 3 or len(heat_jhw) != len(tags_jhw):
        raise InputError(
            f"heatmaps {heat_jhw.shape} and tags {tags_jhw.shape} must be (J, h, w) of the same J"
        )
    heat = np.stack([_resize(plane, canvas.shape) for plane in heat_jhw])
    value = np.stack([_resize(plane, canvas.shape) for plane in tags_jhw])
    best = heat.argmax(axis=0)[None]
    heat_hw = np.clip(np.take_along_axis(heat, best, 0)[0], 0, 1)
    value_hw = np.take_along_axis(value, best, 0)[0]
    # Colours span the tags of likely joints; elsewhere tags mean nothing.
    likely = value_hw[heat_hw > 0.3 * max(float(heat_hw.max()), 1e-6)]
    low, high = (likely.min(), likely.max()) if likely.size else (0.0, 1.0)
    place = np.clip((value_hw - low) / max(float(high - low), 1e-6), 0, 1)
    colours = cv2.applyColorMap(np.round(255 * place).astype(np.uint8), cv2.COLORMAP_TURBO)
    return _blend(canvas, colours[..., ::-1], strength * _visibility(heat_hw))


def contact_sheet(
    images: Sequence[Any],
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    cell: tuple[int, int] = (320, 320),
) -> UInt8:
    """A grid of images with titles, each fitted into its cell.

    Args:
        images: one or more (H, W, 3) uint8 RGB of any sizes.
        titles: one per image; letters outside ASCII are shown as "?".
        columns: per row; by default the sheet is about square.
        cell: (width, height) in pixels of one picture.

    Raises:
        InputError: no images, or another number of titles.
    """
    if not images or (titles is not None and len(titles) != len(images)):
        raise InputError(f"a contact sheet needs images and as many titles, got {len(images)} images")
    columns = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    width, height = cell
    bar = 28 if titles is not None else 0
    gap = 8
    rows = math.ceil(len(images) / columns)
    shape = (rows * (height + bar + gap) + gap, columns * (width + gap) + gap, 3)
    sheet = np.full(shape, _BACKGROUND, np.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + bar + gap)
        left = gap + index % columns * (width + gap)
        if titles is not None:
            _title(sheet[top : top + bar, left : left + width], titles[index])
        _fit(sheet[top + bar : top + bar + height, left : left + width], check_image(image))
    return sheet


def _title(bar: UInt8, text: str) -> None:
    text = text.encode("ascii", "replace").decode()
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width, _), _ = cv2.getTextSize(text, font, size, 1)
    size *= min(1.0, (bar.shape[1] - 4) / max(width, 1))
    cv2.putText(bar, text, (2, bar.shape[0] - 9), font, size, _INK, 1, cv2.LINE_AA)


def _fit(cell: UInt8, image: UInt8) -> None:
    """`image` centred in `cell` at the largest size that fits."""
    factor = min(cell.shape[0] / image.shape[0], cell.shape[1] / image.shape[1])
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    top, left = (cell.shape[0] - size[1]) // 2, (cell.shape[1] - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=method)


def _flatten(heatmaps: Any) -> Floats:
    heat = to_array(heatmaps)
    if heat.ndim not in (2, 3) or 0 in heat.shape:
        raise InputError(f"heatmaps must be (J, h, w) or (h, w), got {heat.shape}")
    return heat if heat.ndim == 2 else np.asarray(heat.max(axis=0))


def _resize(plane: Floats, shape: tuple[int, ...]) -> Floats:
    return np.asarray(cv2.resize(np.ascontiguousarray(plane), (shape[1], shape[0])), np.float32)


def _visibility(heat_hw: Floats) -> Floats:
    """Nothing of the background's clutter, all from half of a sure joint on."""
    return np.asarray(np.clip((heat_hw - 0.05) / 0.35, 0, 1))


def _blend(image: UInt8, colours: NDArray[Any], share_hw: Floats) -> UInt8:
    share = np.clip(share_hw, 0, 1)[..., None]
    return np.round(_DIM * image * (1 - share) + colours * share).astype(np.uint8)
