"""Real groups of people, all of an image together, from any CrowdPose or COCO keypoint file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import read_json
from ..pose.skeletons import Skeleton
from .annotations import parse
from .faults import Faults
from .records import Record
from .render_body import HEAD
from .render_body import L_SHOULDER
from .render_body import NECK
from .render_body import NUM_JOINTS
from .render_body import R_SHOULDER
from .render_body import Floats
from .render_lifting import lift_person
from .render_options import SPLITS
from .render_options import SyntheticOptions
from .render_scene import Actor
from .render_scene import Scene
from .render_scene import draw_actors
from .render_scene import finish

_COCO_FACE = 5  # COCO's first five joints: nose, eyes, ears; its other twelve are CrowdPose's first twelve


@dataclass(frozen=True)
class Crowd:
    """The people of one image, in that image's own pixels.

    Attributes:
        joints: (P, 14, 3) x, y, v.
        boxes: (P, 4) x, y, width, height.
        iscrowd: (P,) 0 or 1.
    """

    width: int
    height: int
    joints: Floats
    boxes: Floats
    iscrowd: tuple[int, ...]


def load_crowds(path: str) -> list[Crowd]:
    """The crowds of an annotation file with CrowdPose's 14 or COCO's 17 joints.

    People without any labelled joint are left out, and so are images without people.

    Raises:
        InputError: the file cannot be read, has another joint layout, or fewer than three usable images.
    """
    document = read_json(path, "poses file")
    skeleton = Skeleton.load(_layout(document, path))
    crowds = []
    for record in parse(document, str(path), skeleton, Faults("raise")):
        crowd = _crowd(record)
        if len(crowd.joints):
            crowds.append(crowd)
    if len(crowds) < len(SPLITS):
        raise InputError(
            f"poses file {path} has {len(crowds)} images with labelled people; "
            "three splits need at least three"
        )
    return crowds


def _layout(document: Any, path: str) -> str:
    """The skeleton's name, told by the number of values per person."""
    annotations = document.get("annotations") if isinstance(document, Mapping) else None
    if not isinstance(annotations, list):
        raise InputError(f"poses file {path} has no list 'annotations'; is it a keypoint annotation file?")
    lengths = {
        len(a["keypoints"])
        for a in annotations
        if isinstance(a, Mapping) and isinstance(a.get("keypoints"), list)
    }
    for name in ("crowdpose", "coco"):
        if lengths == {3 * Skeleton.load(name).num_joints}:
            return name
    counts = ", ".join(f"{n / 3:g}" for n in sorted(lengths)) or "no"
    raise InputError(
        f"poses file {path} has {counts} joints per person; 14 (CrowdPose) or 17 (COCO) are needed"
    )


def _crowd(record: Record) -> Crowd:
    joints = record.keypoints
    if joints.shape[1] != NUM_JOINTS:
        joints = np.stack([coco_to_crowdpose(k) for k in joints]) if len(joints) else np.zeros((0, 14, 3))
    keep = (joints[..., 2] > 0).any(1)
    joints, boxes = joints[keep], record.boxes[keep]
    width, height = record.width, record.height
    # Early CrowdPose files have width and height swapped; without the pixels the boxes tell.
    if len(boxes):
        right, bottom = (boxes[:, :2] + boxes[:, 2:]).max(0)
        if (right > width + 1 or bottom > height + 1) and right <= height + 1 and bottom <= width + 1:
            width, height = height, width
    return Crowd(width, height, joints, boxes, tuple(int(c) for c in record.crowd[keep]))


def coco_to_crowdpose(joints: Floats) -> Floats:
    """(17, 3) COCO joints as (14, 3): the limbs as they are, head and neck derived where they can be.

    The neck lies between the shoulders, a little towards the face; the head (crown) is as far beyond the
    face as the face is beyond the neck, times 0.7. Both are flagged as seen only if what they come from is.
    """
    out = np.zeros((NUM_JOINTS, 3))
    out[:HEAD] = joints[_COCO_FACE:]
    shoulders, face = out[[L_SHOULDER, R_SHOULDER]], joints[:_COCO_FACE]
    face = face[face[:, 2] > 0]
    if (shoulders[:, 2] > 0).all():
        neck = shoulders[:, :2].mean(0)
        if len(face):
            neck = neck + 0.15 * (face[:, :2].mean(0) - neck)
            crown = neck + 1.7 * (face[:, :2].mean(0) - neck)
            out[HEAD] = (*crown, face[:, 2].min())
        out[NECK] = (*neck, shoulders[:, 2].min())
    return out


def pick_crowd(options: SyntheticOptions, crowds: list[Crowd], split: str, index: int) -> tuple[Crowd, bool]:
    """The crowd of a split's `index`-th image, and whether it is to be mirrored.

    No crowd serves two splits. Each split takes its own in a random order; when it needs more images than
    it has crowds, the second round is mirrored, the third is as the first (in other clothes), and so on.
    """
    order = np.random.default_rng(np.random.SeedSequence(options.seed, spawn_key=(len(SPLITS),)))
    shuffled = order.permutation(len(crowds))
    counts = np.array([options.count(name) for name in SPLITS], float)
    ends = np.rint(np.cumsum(counts) / counts.sum() * len(crowds)).astype(int)
    # Every split has at least one crowd.
    ends = np.clip(ends, np.arange(1, len(ends) + 1), len(crowds) - np.arange(len(ends) - 1, -1, -1))
    position = SPLITS.index(split)
    mine = shuffled[ends[position - 1] if position else 0 : ends[position]]
    return crowds[mine[index % len(mine)]], bool(index // len(mine) % 2)


def mirror(crowd: Crowd) -> Crowd:
    """The crowd as seen in a mirror, left and right joints exchanged."""
    joints = crowd.joints[:, list(Skeleton.load("crowdpose").flip)].copy()
    joints[..., 0] = np.where(joints[..., 2] > 0, crowd.width - joints[..., 0], 0)
    boxes = crowd.boxes.copy()
    boxes[:, 0] = crowd.width - boxes[:, 0] - boxes[:, 2]
    return Crowd(crowd.width, crowd.height, joints, boxes, crowd.iscrowd)


def render_crowd(
    seed: np.random.SeedSequence, options: SyntheticOptions, crowds: list[Crowd], split: str, index: int
) -> Scene:
    """The `index`-th scene of a split: a real group, scaled to the rendered size, the farthest first."""
    rng = np.random.default_rng(seed)
    crowd, mirrored = pick_crowd(options, crowds, split, index)
    if mirrored:
        crowd = mirror(crowd)
    scale = options.size / (crowd.width * crowd.height) ** 0.5
    width, height = max(16, round(crowd.width * scale)), max(16, round(crowd.height * scale))
    factor = np.array([width / crowd.width, height / crowd.height])
    actors = []
    for joints, box, iscrowd in zip(crowd.joints, crowd.boxes, crowd.iscrowd, strict=True):
        scaled = joints * np.array([*factor, 1.0])
        corners = np.concatenate([box[:2], box[:2] + box[2:]]) * np.tile(factor, 2)
        x0, y0, x1, y1 = (float(v) for v in corners)
        actors.append(Actor(lift_person(rng, scaled, (x0, y0, x1, y1)), (x0, y0, x1, y1), iscrowd=iscrowd))
    # The nearer, the larger and the lower in the picture.
    actors.sort(key=lambda a: a.box[3] + 0.5 * a.figure.unit if a.box and a.figure else 0.0)
    canvas, people = draw_actors(rng, options, width, height, actors)
    return Scene(finish(rng, options, canvas, actors), people)
