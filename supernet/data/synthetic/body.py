"""A simple 3-D body: joint angles in, the 14 CrowdPose joints out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Joint(IntEnum):
    """CrowdPose's joint indices, left first."""

    L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST = range(6)
    L_HIP, R_HIP, L_KNEE, R_KNEE, L_ANKLE, R_ANKLE, HEAD, NECK = range(6, 14)


NUM_JOINTS = len(Joint)


@dataclass(frozen=True)
class Arm:
    """Directions of one arm in degrees: forward flexion and outward abduction of upper arm and forearm."""

    flex: float = 0.0
    out: float = 8.0
    fore_flex: float = 12.0
    fore_out: float = 2.0


@dataclass(frozen=True)
class Leg:
    """Angles of one leg in degrees: hip flexion (forward), hip abduction (outward), knee flexion."""

    flex: float = 0.0
    out: float = 3.0
    knee: float = 3.0


@dataclass(frozen=True)
class Pose:
    """One whole-body pose; `lean` is forward, `side` to the body's left, `twist` turns shoulders on hips."""

    left_arm: Arm = Arm()
    right_arm: Arm = Arm()
    left_leg: Leg = Leg()
    right_leg: Leg = Leg()
    lean: float = 0.0
    side: float = 0.0
    twist: float = 0.0
    nod: float = 0.0
    turn: float = 0.0
    tilt: float = 0.0
    seated: bool = False


@dataclass(frozen=True)
class Shape:
    """Body proportions as fractions of the standing height (1.0)."""

    leg: float = 0.24
    torso: float = 0.28
    shoulder: float = 0.118
    hip: float = 0.072
    arm: float = 0.165
    neck: float = 0.035
    head: float = 0.15
    girth: float = 1.0


def sample_shape(rng: np.random.Generator) -> Shape:
    """Proportions of an adult or, one time in six, of a child (bigger head, shorter limbs)."""
    child = rng.random() < 1 / 6
    limb = rng.normal(0.94 if child else 1.0, 0.025)
    return Shape(
        leg=Shape.leg * limb,
        torso=Shape.torso * rng.normal(1.0, 0.03),
        shoulder=Shape.shoulder * rng.normal(1.0, 0.06),
        hip=Shape.hip * rng.normal(1.0, 0.06),
        arm=Shape.arm * limb,
        head=(0.18 if child else 0.152) * rng.normal(1.0, 0.03),
        girth=float(np.clip(rng.normal(1.05, 0.13), 0.8, 1.45)),
    )


@dataclass(frozen=True)
class Body:
    """Joints in stature units: x right, y down, z to the viewer; origin at mid-hip.

    Attributes:
        joints: (14, 3).
        forward: (3,) unit vector the chest faces.
        face: (3,) unit vector the face faces.
        head_up: (3,) unit vector from chin to crown.
    """

    joints: Floats
    forward: Floats
    face: Floats
    head_up: Floats


def cross(a: Floats, b: Floats) -> Floats:
    """(3,) cross product; numpy's own spends most of its time on the general case."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def rotation(axis: str, degrees: float) -> Floats:
    """(3, 3) right-handed rotation about the x, y or z axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def limb_direction(flex: float, out: float, side: float) -> Floats:
    """(3,) unit direction of a limb that hangs down, lifted `flex` forward and `out` sideways (degrees)."""
    f, o = np.radians(flex), np.radians(out)
    return np.array([side * np.sin(o), np.cos(o) * np.cos(f), np.cos(o) * np.sin(f)])


def build_body(pose: Pose, shape: Shape, yaw: float, pitch: float = 0.0) -> Body:
    """Forward kinematics, then an orthographic view.

    Args:
        yaw: degrees the body is turned: 0 faces the viewer (its left is on the right of the image),
            +90 faces the right edge, 180 shows the back.
        pitch: degrees the camera looks down.
    """
    joints = np.zeros((NUM_JOINTS, 3))
    # A camera that looks down sees near things lower, hence the negative turn about x (y points down).
    view = rotation("x", -pitch) @ rotation("y", yaw)
    spine = rotation("y", pose.twist * 0.5) @ rotation("z", pose.side) @ rotation("x", -pose.lean)
    chest = spine @ rotation("y", pose.twist * 0.5)
    arms = rotation("y", pose.twist)
    top = spine @ np.array([0.0, -shape.torso, 0.0])
    for side, shoulder, elbow, wrist, arm in (
        (1.0, Joint.L_SHOULDER, Joint.L_ELBOW, Joint.L_WRIST, pose.left_arm),
        (-1.0, Joint.R_SHOULDER, Joint.R_ELBOW, Joint.R_WRIST, pose.right_arm),
    ):
        joints[shoulder] = top + chest @ np.array([side * shape.shoulder, 0.0, 0.0])
        upper = arms @ limb_direction(arm.flex, arm.out, side)
        fore = arms @ limb_direction(arm.fore_flex, arm.fore_out, side)
        joints[elbow] = joints[shoulder] + shape.arm * upper
        joints[wrist] = joints[elbow] + 0.9 * shape.arm * fore
    for side, hip, knee, ankle, leg in (
        (1.0, Joint.L_HIP, Joint.L_KNEE, Joint.L_ANKLE, pose.left_leg),
        (-1.0, Joint.R_HIP, Joint.R_KNEE, Joint.R_ANKLE, pose.right_leg),
    ):
        joints[hip] = (side * shape.hip, 0.0, 0.0)
        joints[knee] = joints[hip] + shape.leg * limb_direction(leg.flex, leg.out, side)
        joints[ankle] = joints[knee] + shape.leg * limb_direction(leg.flex - leg.knee, leg.out * 0.6, side)
    skull = chest @ rotation("x", 0.6 * pose.lean - pose.nod) @ rotation("z", pose.tilt)
    head_up = skull @ np.array([0.0, -1.0, 0.0])
    joints[Joint.NECK] = top + chest @ np.array([0.0, -shape.neck, 0.01])
    joints[Joint.HEAD] = joints[Joint.NECK] + shape.head * head_up
    face = skull @ rotation("y", pose.turn) @ np.array([0.0, 0.0, 1.0])
    forward = chest @ np.array([0.0, 0.0, 1.0])
    return Body(joints @ view.T, view @ forward, view @ face, view @ head_up)
