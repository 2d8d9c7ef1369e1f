"""One scene: background, people placed and drawn far to near, objects in front, CrowdPose's labels."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pose.skeletons import Skeleton
from .body import Floats, build_body, sample_shape
from .canvas import Canvas, sample_style, two_tone
from .figure import Figure, draw_figure, visible_joints
from .options import SyntheticOptions
from .poses import sample_pose, sample_yaw
from .surroundings import add_grey, draw_background, draw_occluder, draw_seat, draw_shadow

CATEGORY: dict[str, Any] = {
    "supercategory": "person",
    "id": 1,
    "name": "person",
    "keypoints": list(Skeleton.load("crowdpose").joints),
    # CrowdPose's files carry COCO's skeleton here; kept because readers expect the very same entry.
    "skeleton": [
        [16, 14], [14, 12], [17, 15], [15, 13], [12, 13], [6, 12], [7, 13], [6, 7], [6, 8], [7, 9], [8, 10],
        [9, 11],
    ],
}  # fmt: skip


def keypoint_list(xy: Floats, labelled: NDArray[np.bool_], visible: NDArray[np.bool_]) -> list[int]:
    """42 integers x, y, v: v is 2 when seen, 1 when hidden, 0 (with x = y = 0) when not labelled."""
    flags = np.where(visible, 2, 1) * labelled
    rows = np.where(labelled[:, None], np.rint(xy), 0)
    return [int(v) for v in np.concatenate([rows, flags[:, None]], 1).ravel()]


def person_annotation(
    identity: int, image_id: int, keypoints: list[int], bbox: Sequence[float], iscrowd: int = 0
) -> dict[str, Any]:
    """One CrowdPose annotation; `num_keypoints` counts only the first 12 joints, as CrowdPose does."""
    return {
        "num_keypoints": sum(v > 0 for v in keypoints[2:36:3]),
        "iscrowd": int(iscrowd),
        "keypoints": keypoints,
        "image_id": image_id,
        "bbox": [round(float(v), 2) for v in bbox],
        "category_id": 1,
        "id": identity,
    }


def clip_box(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[float, float, float, float]:
    """x0, y0, x1, y1 cut to the image, as x, y, w, h."""
    x0, y0 = max(0.0, min(box[0], width)), max(0.0, min(box[1], height))
    x1, y1 = max(0.0, min(box[2], width)), max(0.0, min(box[3], height))
    return x0, y0, x1 - x0, y1 - y0


Box = tuple[float, float, float, float]
Labels = tuple[list[int], Box, int]  # 42 keypoint integers, box (x, y, w, h), iscrowd

_FEWEST = 4  # of the limbs' 12 joints must be seen
# Bones as capsules that hide others: joints at their ends, half thickness in stature units. Trunk first.
_CAPSULES = (
    *((0, 6, 0.05), (1, 7, 0.05), (0, 7, 0.06), (1, 6, 0.06), (0, 1, 0.05), (6, 7, 0.06)),
    *((6, 8, 0.05), (7, 9, 0.05), (8, 10, 0.035), (9, 11, 0.035)),
    *((0, 2, 0.035), (1, 3, 0.035), (2, 4, 0.03), (3, 5, 0.03), (13, 12, 0.06)),
)
_BONES = np.array([(a, b) for a, b, _ in _CAPSULES])
_THICK = np.array([thick for _, _, thick in _CAPSULES])
_TRUNK = 6


@dataclass(frozen=True)
class Actor:
    """A figure in a scene.

    Attributes:
        figure: what is drawn; None for a person of which no joint is known.
        box: given x0, y0, x1, y1, or None to take the figure's outline.
        seated: a seat is drawn under it.
    """

    figure: Figure | None
    box: Box | None = None
    seated: bool = False
    iscrowd: int = 0


@dataclass(frozen=True)
class Scene:
    """A rendered picture and the labels of its people."""

    image: NDArray[np.uint8]
    people: list[Labels]


def sample_size(rng: np.random.Generator, options: SyntheticOptions) -> tuple[int, int]:
    """Width and height of an image: about size^2 pixels, log-uniform aspect."""
    aspect = np.exp(rng.uniform(*np.log(options.aspect)))
    return round(options.size * aspect**0.5), round(options.size / aspect**0.5)


def _sample_actor(rng: np.random.Generator, share: float, height: int, pitch: float) -> Actor:
    """A person whose outline is `share` of the image high, standing at the origin."""
    pose = sample_pose(rng)
    shape = sample_shape(rng)
    body = build_body(pose, shape, sample_yaw(rng), pitch)
    known = np.ones(len(body.joints), bool)
    figure = Figure(
        body.joints, known, 1.0, body.forward, body.face, body.head_up, shape.girth, sample_style(rng)
    )
    x0, y0, x1, y1 = figure.extent()
    # People who sit or bend are not blown up to the height of a standing one.
    unit = min(share * height / (y1 - y0), 1.15 * height)
    joints = (body.joints - np.array([(x0 + x1) / 2, y1, 0.0])) * unit
    return Actor(replace(figure, joints=joints, unit=unit), seated=pose.seated)


def _place(actor: Actor, x: float, y: float) -> Actor:
    assert actor.figure is not None
    joints = actor.figure.joints + np.array([x, y, 0.0])
    return replace(actor, figure=replace(actor.figure, joints=joints))


def compose(
    rng: np.random.Generator, options: SyntheticOptions, width: int, height: int, count: int
) -> list[Actor]:
    """`count` procedural people, far to near: a tight group or a loose one, feet lower the nearer."""
    low, high = options.height
    tight = count > 1 and rng.random() < options.crowding
    pitch = rng.uniform(0, 14)
    if tight:
        base = rng.uniform(max(low, 0.38), high)
        shares = np.clip(base * rng.normal(1, 0.16, count), low, high)
    else:
        # Larger crowds of loose people are farther away.
        top = high if count < 3 else low + (high - low) * 0.8
        shares = low + (top - low) * rng.beta(1.1, 1.2, count)
    shares = np.sort(shares)
    actors = [_sample_actor(rng, float(share), height, pitch) for share in shares]
    extents = np.array([a.figure.extent() for a in actors if a.figure])
    sizes = extents[:, 3] - extents[:, 1]
    spread = (extents[:, 2] - extents[:, 0]) * 0.5 + 0.14 * sizes
    gap = rng.uniform(0.25, 0.7) if tight else rng.uniform(0.8, 1.5)
    order = rng.permutation(count)
    steps = np.zeros(count)
    for before, after in itertools.pairwise(order):
        steps[after] = steps[before] + gap * (spread[before] + spread[after]) / 2 * rng.uniform(0.75, 1.25)
    span = steps.max()
    room = 0.86 * width
    if span > room:
        steps *= room / span
        span = room
    start = rng.uniform(0.07 * width, max(0.93 * width - span, 0.07 * width + 1))
    base_line = height * rng.uniform(0.9, 1.0)
    if rng.random() < 0.18:
        base_line += rng.uniform(0.05, 0.3) * sizes.max()
    slope = rng.uniform(0.1, 0.5)
    placed = []
    for actor, step, tall in zip(actors, steps, sizes, strict=True):
        foot = base_line - slope * (sizes.max() - tall) + rng.normal(0, 0.015) * height
        foot = max(foot, tall * 0.97 + 0.01 * height)
        placed.append(_place(actor, start + step, foot))
    return placed


def _inside(actors: list[Actor], width: int, height: int, low: float) -> bool:
    """Whether everyone is inside the picture enough, and neither too small nor too large."""
    for actor in actors:
        outline = actor.figure.extent() if actor.figure else (0.0, 0.0, 0.0, 0.0)
        _, _, w, h = clip_box(outline, width, height)
        if h < low * height or h > 0.95 * height or w < 0.6 * (outline[2] - outline[0]):
            return False
    return True


def _hidden(actors: list[Actor]) -> bool:
    """Whether somebody is plainly behind others; a quick look at bones that spares drawing the scene."""
    figures = [actor.figure for actor in actors if actor.figure is not None]
    starts = np.concatenate([f.joints[_BONES[:, 0], :2] for f in figures])
    along = np.concatenate([f.joints[_BONES[:, 1], :2] for f in figures]) - starts
    thick = np.concatenate([f.unit * f.girth * _THICK for f in figures])
    squared = np.maximum((along * along).sum(1), 1e-6)
    for number, figure in enumerate(figures):
        offset = figure.joints[:12, None, :2] - starts
        share = np.clip((offset * along).sum(2) / squared, 0, 1)
        gap = np.linalg.norm(offset - share[..., None] * along, axis=2)
        own = number * len(_BONES)
        covered = (gap < thick)[:, own + len(_BONES) :].any(1)
        # Its own trunk hides the elbows and wrists behind it.
        behind = figure.joints[2:6, 2] < figure.joints[[0, 1, 6, 7], 2].mean() - 0.04 * figure.unit
        covered[2:6] |= behind & (gap < thick)[2:6, own : own + _TRUNK].any(1)
        if (~covered).sum() < _FEWEST:
            return True
    return False


def _seen(people: list[Labels]) -> bool:
    """Whether everyone is seen enough to be worth a label: _FEWEST of the limbs' 12 joints."""
    return all(sum(v == 2 for v in keypoints[2:36:3]) >= _FEWEST for keypoints, _, _ in people)


def _photograph(rng: np.random.Generator, canvas: Canvas, options: SyntheticOptions) -> NDArray[np.uint8]:
    """Average down, then a camera: exposure, tint, a little blur, noise."""
    width, height = canvas.size
    picture = np.asarray(cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.8)), np.uint8)
    gain = rng.uniform(0.88, 1.25) * rng.uniform(0.94, 1.06, 3)
    table = np.clip(np.arange(256)[:, None] * gain + rng.uniform(-12, 12), 0, 255).astype(np.uint8)
    picture = np.asarray(cv2.LUT(picture, table[None]), np.uint8)
    sigma = rng.uniform(0, options.noise)
    grain = rng.standard_normal((height, width), np.float32) * np.float32(sigma)
    return add_grey(picture, grain)


def draw_actors(
    rng: np.random.Generator, options: SyntheticOptions, width: int, height: int, actors: list[Actor]
) -> tuple[Canvas, list[Labels]]:
    """Draw people (far to near) and what stands before them on an empty canvas; label them."""
    canvas = Canvas.blank(width, height)
    for number, actor in enumerate(actors, start=1):
        figure = actor.figure
        if figure is None:
            continue
        if rng.random() < options.two_tone:
            figure = replace(figure, style=two_tone(figure.style))
        if actor.seated:
            draw_seat(rng, canvas, figure)
        draw_figure(canvas, figure, number)
    for _ in range(int(rng.binomial(2, options.occluders))):
        draw_occluder(rng, canvas)
    return canvas, [_label(actor, canvas, number) for number, actor in enumerate(actors, start=1)]


def finish(
    rng: np.random.Generator, options: SyntheticOptions, canvas: Canvas, actors: list[Actor]
) -> NDArray[np.uint8]:
    """The picture: a random background with the people's shadows, the canvas before it, and a camera."""
    background = draw_background(rng, *canvas.size, rng.uniform(0.45, 0.8), options.clutter)
    for actor in actors:
        if actor.figure is not None:
            draw_shadow(background, actor.figure)
    canvas.put_behind(background)
    return _photograph(rng, canvas, options)


def _label(actor: Actor, canvas: Canvas, number: int) -> Labels:
    width, height = canvas.size
    figure = actor.figure
    if figure is None:
        return [0] * 42, clip_box(actor.box or (0, 0, 1, 1), width, height), actor.iscrowd
    xy = figure.joints[:, :2]
    # Half a pixel of grace: real labels, mirrored, may lie on the very border.
    inside = ((xy >= -0.5) & (xy <= (width + 0.5, height + 0.5))).all(1) & figure.known
    held = np.clip(xy, 0, (width - 1, height - 1))
    keypoints = keypoint_list(held, inside, visible_joints(canvas, figure, number))
    return keypoints, clip_box(actor.box or figure.extent(), width, height), actor.iscrowd


def render_scene(seed: np.random.SeedSequence, options: SyntheticOptions, tries: int = 24) -> Scene:
    """A procedural scene, composed anew until everybody is in it and can be seen.

    Should no try succeed, as with options that ask for the impossible, the last one stands.
    """
    streams = seed.spawn(tries)
    # Drawn once, so that composing anew does not favour small groups.
    first = np.random.default_rng(seed)
    width, height = sample_size(first, options)
    weights = np.array(options.people, float)
    count = 1 + int(first.choice(len(weights), p=weights / weights.sum()))
    for number, stream in enumerate(streams, start=1):
        rng = np.random.default_rng(stream)
        actors = compose(rng, options, width, height, count)
        fits = _inside(actors, width, height, options.height[0] * 0.9) and not _hidden(actors)
        if number < tries and not fits:
            continue
        canvas, people = draw_actors(rng, options, width, height, actors)
        if number == tries or _seen(people):
            break
    return Scene(finish(rng, options, canvas, actors), people)
