"""Flat annotated joints given just enough depth to be drawn: which way a person faces, what lies in front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .render_body import HEAD
from .render_body import L_ANKLE
from .render_body import L_ELBOW
from .render_body import L_HIP
from .render_body import L_KNEE
from .render_body import L_SHOULDER
from .render_body import L_WRIST
from .render_body import NECK
from .render_body import NUM_JOINTS
from .render_body import R_HIP
from .render_body import R_SHOULDER
from .render_body import Floats
from .render_body import Shape
from .render_body import rotation
from .render_figure import Figure
from .render_style import sample_style

_BODY = Shape()
# Limbs with their length in stature units; foreshortening only ever makes them look shorter.
_LIMBS = tuple(
    limb
    for side in (0, 1)
    for limb in (
        (L_SHOULDER + side, L_ELBOW + side, _BODY.arm),
        (L_ELBOW + side, L_WRIST + side, 0.9 * _BODY.arm),
        (L_HIP + side, L_KNEE + side, _BODY.leg),
        (L_KNEE + side, L_ANKLE + side, _BODY.leg),
        (L_SHOULDER + side, L_HIP + side, _BODY.torso),
    )
)
_ACROSS = (
    (HEAD, NECK, _BODY.head),
    (L_SHOULDER, R_SHOULDER, 2 * _BODY.shoulder),
    (L_HIP, R_HIP, 2 * _BODY.hip),
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
    shoulders = bool(known[[L_SHOULDER, R_SHOULDER]].all())
    hips = bool(known[[L_HIP, R_HIP]].all())
    if shoulders and hips:
        down = joints[[L_HIP, R_HIP], :2].mean(0) - joints[[L_SHOULDER, R_SHOULDER], :2].mean(0)
        if np.linalg.norm(down) > 0.08 * unit:
            spine = down / np.linalg.norm(down)
    right = np.array([spine[1], -spine[0]])
    votes = []
    if shoulders:
        votes.append(
            float((joints[L_SHOULDER, :2] - joints[R_SHOULDER, :2]) @ right) / (1.8 * _BODY.shoulder)
        )
    if hips:
        votes.append(float((joints[L_HIP, :2] - joints[R_HIP, :2]) @ right) / (1.8 * _BODY.hip))
    cosine = float(np.clip(np.mean(votes) / unit, -1, 1)) if votes else 1.0
    ahead = 0.0
    for a, b, weight in (
        (NECK, HEAD, 2.0),
        (L_ELBOW, L_WRIST, 1.0),
        (L_ELBOW + 1, L_WRIST + 1, 1.0),
        (L_ANKLE, L_KNEE, 0.7),
        (L_ANKLE + 1, L_KNEE + 1, 0.7),
    ):
        if known[a] and known[b]:
            ahead += weight * float((joints[b, :2] - joints[a, :2]) @ right)
    side = float(np.sign(ahead)) if abs(ahead) > 0.02 * unit else float(rng.choice([-1.0, 1.0]))
    return side * (1 - cosine**2) ** 0.5, cosine


def _depths(joints: Floats, known: NDArray[np.bool_], unit: float, sine: float, cosine: float) -> Floats:
    """(14,) depth towards the viewer in pixels: of a turned trunk, and of bent limbs ahead of it."""
    z = np.zeros(NUM_JOINTS)
    for left, right, half in ((L_SHOULDER, R_SHOULDER, _BODY.shoulder), (L_HIP, R_HIP, _BODY.hip)):
        z[left], z[right] = -sine * half * unit, sine * half * unit
    for a, b, length in _LIMBS:
        if b in (L_HIP, R_HIP):
            continue
        seen = float(np.linalg.norm(joints[b, :2] - joints[a, :2])) if known[a] and known[b] else 0.0
        hidden = max((length * unit) ** 2 - seen**2, 0.0) ** 0.5
        # Elbows, wrists and knees come forward, shanks fold back.
        share = -0.4 if b in (L_ANKLE, L_ANKLE + 1) else 0.8
        z[b] = z[a] + share * hidden * cosine
        arm = b in (L_ELBOW, L_ELBOW + 1, L_WRIST, L_WRIST + 1)
        if arm and known[b] and joints[b, 2] == 1:
            z[b] = min(z[b], z[a]) - 0.1 * unit  # labelled as hidden: most often behind the trunk
    z[HEAD] = z[NECK] = 0.01 * unit
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
    if known[HEAD] and known[NECK]:
        axis = joints[HEAD, :2] - joints[NECK, :2]
        if np.linalg.norm(axis) > 1e-6:
            up = np.array([*(axis / np.linalg.norm(axis)), 0.0])
    face = rotation("y", float(np.clip(rng.normal(0, 15), -40, 40))) @ forward
    return Figure(points, known, unit, forward, face, up, float(rng.uniform(0.9, 1.25)), sample_style(rng))
