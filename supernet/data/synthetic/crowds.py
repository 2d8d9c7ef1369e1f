"""Real groups of people, all of an image together, from any CrowdPose or COCO keypoint file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...pose.skeletons import Skeleton
from ...runs.files import read_json
from ..annotations.parse import parse
from ..annotations.records import Faults, Record
from .body import NUM_JOINTS, Floats, Joint, Shape, rotation
from .canvas import sample_style
from .figure import Figure
from .options import SPLITS, SyntheticOptions
from .scene import Actor, Scene, draw_actors, finish

_BODY = Shape()
# Limbs with their length in stature units; foreshortening only ever makes them look shorter.
_LIMBS = tuple(
    limb
    for side in (0, 1)
    for limb in (
        (Joint.L_SHOULDER + side, Joint.L_ELBOW + side, _BODY.arm),
        (Joint.L_ELBOW + side, Joint.L_WRIST + side, 0.9 * _BODY.arm),
        (Joint.L_HIP + side, Joint.L_KNEE + side, _BODY.leg),
        (Joint.L_KNEE + side, Joint.L_ANKLE + side, _BODY.leg),
        (Joint.L_SHOULDER + side, Joint.L_HIP + side, _BODY.torso),
    )
)
_ACROSS = (
    (Joint.HEAD, Joint.NECK, _BODY.head),
    (Joint.L_SHOULDER, Joint.R_SHOULDER, 2 * _BODY.shoulder),
    (Joint.L_HIP, Joint.R_HIP, 2 * _BODY.hip),
)


def stature(joints: Floats, known: NDArray[np.bool_], box: tuple[float, float, float, float]) -> float:
    """Standing height in pixels, from the limbs that look least foreshortened; from the box without any."""
    ratios = sorted(
        float(np.linalg.norm(joints[a, :2] - joints[b, :2])) / length
        for a, b, length in _LIMBS + _ACROSS
        if known[a] and known[b]
    )
    if not ratios:
        return max(box[2] - box[0], box[3] - box[1], 4.0)
    # The longest but one where there are enough to tell a label gone wrong.
    return max(ratios[-2] if len(ratios) > 3 else ratios[-1], 4.0)


def facing(
    rng: np.random.Generator, joints: Floats, known: NDArray[np.bool_], unit: float
) -> tuple[float, float]:
    """Sine and cosine of the yaw: cosine from how far left lies right of right, the sign of the sine from
    where head and forearms point (by chance where nothing tells)."""
    spine = np.array([0.0, 1.0])
    shoulders = bool(known[[Joint.L_SHOULDER, Joint.R_SHOULDER]].all())
    hips = bool(known[[Joint.L_HIP, Joint.R_HIP]].all())
    if shoulders and hips:
        down = joints[[Joint.L_HIP, Joint.R_HIP], :2].mean(0) - joints[
            [Joint.L_SHOULDER, Joint.R_SHOULDER], :2
        ].mean(0)
        if np.linalg.norm(down) > 0.08 * unit:
            spine = down / np.linalg.norm(down)
    right = np.array([spine[1], -spine[0]])
    votes = []
    if shoulders:
        votes.append(
            float((joints[Joint.L_SHOULDER, :2] - joints[Joint.R_SHOULDER, :2]) @ right)
            / (1.8 * _BODY.shoulder)
        )
    if hips:
        votes.append(float((joints[Joint.L_HIP, :2] - joints[Joint.R_HIP, :2]) @ right) / (1.8 * _BODY.hip))
    cosine = float(np.clip(np.mean(votes) / unit, -1, 1)) if votes else 1.0
    ahead = 0.0
    for a, b, weight in (
        (Joint.NECK, Joint.HEAD, 2.0),
        (Joint.L_ELBOW, Joint.L_WRIST, 1.0),
        (Joint.L_ELBOW + 1, Joint.L_WRIST + 1, 1.0),
        (Joint.L_ANKLE, Joint.L_KNEE, 0.7),
        (Joint.L_ANKLE + 1, Joint.L_KNEE + 1, 0.7),
    ):
        if known[a] and known[b]:
            ahead += weight * float((joints[b, :2] - joints[a, :2]) @ right)
    side = float(np.sign(ahead)) if abs(ahead) > 0.02 * unit else float(rng.choice([-1.0, 1.0]))
    return side * (1 - cosine**2) ** 0.5, cosine


def _depths(joints: Floats, known: NDArray[np.bool_], unit: float, sine: float, cosine: float) -> Floats:
    """(14,) depth towards the viewer in pixels: of a turned trunk, and of bent limbs ahead of it."""
    z = np.zeros(NUM_JOINTS)
    for left, right, half in (
        (Joint.L_SHOULDER, Joint.R_SHOULDER, _BODY.shoulder),
        (Joint.L_HIP, Joint.R_HIP, _BODY.hip),
    ):
        z[left], z[right] = -sine * half * unit, sine * half * unit
    for a, b, length in _LIMBS:
        if b in (Joint.L_HIP, Joint.R_HIP):
            continue
        seen = float(np.linalg.norm(joints[b, :2] - joints[a, :2])) if known[a] and known[b] else 0.0
        hidden = max((length * unit) ** 2 - seen**2, 0.0) ** 0.5
        # Elbows, wrists and knees come forward, shanks fold back.
        share = -0.4 if b in (Joint.L_ANKLE, Joint.L_ANKLE + 1) else 0.8
        z[b] = z[a] + share * hidden * cosine
        arm = b in (Joint.L_ELBOW, Joint.L_ELBOW + 1, Joint.L_WRIST, Joint.L_WRIST + 1)
        if arm and known[b] and joints[b, 2] == 1:
            z[b] = min(z[b], z[a]) - 0.1 * unit  # labelled as hidden: most often behind the trunk
    z[Joint.HEAD] = z[Joint.NECK] = 0.01 * unit
    return z


def lift_person(rng: np.random.Generator, joints: Floats, box: tuple[float, float, float, float]) -> Figure:
    """A figure for one annotated person.

    Args:
        joints: (14, 3) x, y, v in pixels of the rendered image; v = 0 joints stay unknown.
        box: x0, y0, x1, y1.
    """
    known = joints[:, 2] > 0
    unit = stature(joints, known, box)
    sine, cosine = facing(rng, joints, known, unit)
    points = joints.copy()
    points[:, 2] = _depths(joints, known, unit, sine, cosine)
    forward = np.array([sine, 0.0, cosine])
    up = np.array([0.0, -1.0, 0.0])
    if known[Joint.HEAD] and known[Joint.NECK]:
        axis = joints[Joint.HEAD, :2] - joints[Joint.NECK, :2]
        if np.linalg.norm(axis) > 1e-6:
            up = np.array([*(axis / np.linalg.norm(axis)), 0.0])
    face = rotation("y", float(np.clip(rng.normal(0, 15), -40, 40))) @ forward
    return Figure(points, known, unit, forward, face, up, float(rng.uniform(0.9, 1.25)), sample_style(rng))


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
    for record in parse(document, str(path), skeleton, range(skeleton.num_joints), Faults("raise")):
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
    out[: Joint.HEAD] = joints[_COCO_FACE:]
    shoulders, face = out[[Joint.L_SHOULDER, Joint.R_SHOULDER]], joints[:_COCO_FACE]
    face = face[face[:, 2] > 0]
    if (shoulders[:, 2] > 0).all():
        neck = shoulders[:, :2].mean(0)
        if len(face):
            neck = neck + 0.15 * (face[:, :2].mean(0) - neck)
            crown = neck + 1.7 * (face[:, :2].mean(0) - neck)
            out[Joint.HEAD] = (*crown, face[:, 2].min())
        out[Joint.NECK] = (*neck, shoulders[:, 2].min())
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
