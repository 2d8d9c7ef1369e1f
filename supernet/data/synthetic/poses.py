"""Procedural poses: a small registry of pose kinds, each a distribution over joint angles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .body import Arm, Leg, Pose

Sampler = Callable[[np.random.Generator], Pose]


def _hanging_arm(rng: np.random.Generator) -> Arm:
    flex = rng.normal(0, 12)
    return Arm(flex, rng.uniform(5, 24), flex + abs(rng.normal(12, 14)), rng.normal(2, 8))


def _bent_arm(rng: np.random.Generator) -> Arm:
    """Forearm held in front of the belly: a phone, a cup, a bag."""
    return Arm(rng.normal(8, 14), rng.uniform(5, 28), rng.uniform(60, 130), rng.normal(-10, 22))


def _hip_arm(rng: np.random.Generator) -> Arm:
    return Arm(rng.normal(-8, 8), rng.uniform(38, 58), rng.uniform(15, 45), rng.uniform(-58, -38))


def _folded_arm(rng: np.random.Generator) -> Arm:
    return Arm(rng.uniform(12, 30), rng.uniform(5, 18), rng.uniform(70, 95), rng.uniform(-65, -45))


def _raised_arm(rng: np.random.Generator) -> Arm:
    if rng.random() < 0.5:
        out = rng.uniform(95, 165)
        return Arm(0, out, rng.normal(0, 20), out + rng.uniform(-25, 60))
    flex = rng.uniform(110, 175)
    return Arm(flex, rng.normal(12, 8), flex + rng.normal(10, 20), rng.normal(5, 15))


def _side_arm(rng: np.random.Generator) -> Arm:
    out = rng.uniform(50, 100)
    return Arm(rng.normal(0, 10), out, rng.normal(10, 15), out + rng.normal(5, 20))


def _forward_arm(rng: np.random.Generator) -> Arm:
    flex = rng.uniform(45, 100)
    return Arm(flex, rng.normal(8, 10), flex + rng.uniform(0, 35), rng.normal(0, 14))


_ARMS: tuple[tuple[Callable[[np.random.Generator], Arm], float], ...] = (
    (_hanging_arm, 0.42),
    (_bent_arm, 0.2),
    (_hip_arm, 0.1),
    (_raised_arm, 0.12),
    (_side_arm, 0.08),
    (_forward_arm, 0.08),
)


def _any_arm(rng: np.random.Generator) -> Arm:
    weights = np.array([weight for _, weight in _ARMS])
    return _ARMS[int(rng.choice(len(_ARMS), p=weights / weights.sum()))][0](rng)


def _straight_leg(rng: np.random.Generator) -> Leg:
    return Leg(rng.normal(1, 5), rng.uniform(0, 10), abs(rng.normal(4, 5)))


def stand(rng: np.random.Generator) -> Pose:
    """Upright, the weight on one or both legs, arms anywhere."""
    arms = (_any_arm(rng), _any_arm(rng))
    if rng.random() < 0.12:
        arms = (_folded_arm(rng), _folded_arm(rng))
    return Pose(*arms, _straight_leg(rng), _straight_leg(rng), lean=rng.normal(2, 4), side=rng.normal(0, 3))


def walk(rng: np.random.Generator) -> Pose:
    """Mid-stride, arms swinging against the legs."""
    swing, lead = rng.uniform(14, 32), rng.choice([-1.0, 1.0])
    fore = rng.uniform(8, 35)
    return Pose(
        Arm(-lead * swing, rng.uniform(5, 14), -lead * swing + fore, 0),
        Arm(lead * swing, rng.uniform(5, 14), lead * swing + fore, 0),
        Leg(lead * swing, 2, rng.uniform(3, 12) if lead > 0 else rng.uniform(8, 35)),
        Leg(-lead * swing, 2, rng.uniform(3, 12) if lead < 0 else rng.uniform(8, 35)),
        lean=rng.normal(4, 3),
        twist=lead * rng.uniform(-10, 0),
    )


def run(rng: np.random.Generator) -> Pose:
    """Long stride, elbows bent, one heel up."""
    swing, lead = rng.uniform(35, 60), rng.choice([-1.0, 1.0])
    elbow = rng.uniform(60, 100)
    return Pose(
        Arm(-lead * swing, 12, -lead * swing + elbow, -8),
        Arm(lead * swing, 12, lead * swing + elbow, -8),
        Leg(lead * swing * 0.9 + 8, 2, rng.uniform(15, 60) if lead > 0 else rng.uniform(30, 85)),
        Leg(-lead * swing * 0.9 + 8, 2, rng.uniform(15, 60) if lead < 0 else rng.uniform(30, 85)),
        lean=rng.uniform(5, 20),
        twist=lead * rng.uniform(-15, 0),
    )


def sit(rng: np.random.Generator) -> Pose:
    """On a seat, hands in the lap, on the knees or busy."""

    def lap(side_out: float) -> Arm:
        return Arm(rng.uniform(5, 35), side_out, rng.uniform(35, 75), rng.uniform(-20, 5))

    def leg() -> Leg:
        return Leg(rng.uniform(72, 92), rng.uniform(2, 20), rng.uniform(65, 100))

    left = lap(rng.uniform(4, 20)) if rng.random() < 0.7 else _any_arm(rng)
    right = lap(rng.uniform(4, 20)) if rng.random() < 0.7 else _any_arm(rng)
    return Pose(left, right, leg(), leg(), lean=rng.normal(6, 8), side=rng.normal(0, 4), seated=True)


def crouch(rng: np.random.Generator) -> Pose:
    """Knees deeply bent, hands forward."""
    flex, knee = rng.uniform(70, 110), rng.uniform(95, 140)
    return Pose(
        _forward_arm(rng),
        _forward_arm(rng),
        Leg(flex + rng.normal(0, 8), rng.uniform(5, 22), knee),
        Leg(flex + rng.normal(0, 8), rng.uniform(5, 22), knee + rng.normal(0, 8)),
        lean=rng.uniform(10, 40),
    )


def bend(rng: np.random.Generator) -> Pose:
    """Bowing from the hips, hands reaching down or on the knees."""
    lean = rng.uniform(30, 75)

    def arm() -> Arm:
        flex = rng.uniform(0, 45)
        return Arm(flex, rng.uniform(2, 15), flex + rng.uniform(0, 35), rng.normal(0, 8))

    legs = (Leg(rng.uniform(0, 25), 4, rng.uniform(3, 35)), Leg(rng.uniform(0, 25), 4, rng.uniform(3, 35)))
    return Pose(arm(), arm(), *legs, lean=lean, nod=-rng.uniform(0, 15))


def cheer(rng: np.random.Generator) -> Pose:
    """One or both arms up."""
    arms = [_raised_arm(rng), _raised_arm(rng) if rng.random() < 0.6 else _any_arm(rng)]
    if rng.random() < 0.5:
        arms.reverse()
    return Pose(arms[0], arms[1], _straight_leg(rng), _straight_leg(rng), side=rng.normal(0, 6))


def stretch(rng: np.random.Generator) -> Pose:
    """Sport: a lunge, a kick or a wide stance, arms anywhere."""
    wide = Leg(rng.normal(0, 10), rng.uniform(18, 40), rng.uniform(0, 40))
    kick = Leg(rng.uniform(35, 85), rng.uniform(0, 25), rng.uniform(0, 60))
    back = Leg(rng.uniform(-25, 5), rng.uniform(2, 12), rng.uniform(0, 40))
    pairs = ((wide, replace(wide, flex=-wide.flex)), (kick, back), (back, kick))
    left, right = pairs[int(rng.integers(len(pairs)))]
    return Pose(
        _any_arm(rng),
        _side_arm(rng),
        left,
        right,
        lean=rng.normal(5, 10),
        side=rng.normal(0, 8),
        twist=rng.normal(0, 15),
    )


POSES: dict[str, tuple[Sampler, float]] = {
    "stand": (stand, 0.34),
    "walk": (walk, 0.17),
    "run": (run, 0.08),
    "sit": (sit, 0.13),
    "crouch": (crouch, 0.05),
    "bend": (bend, 0.06),
    "cheer": (cheer, 0.1),
    "stretch": (stretch, 0.07),
}


def sample_pose(rng: np.random.Generator) -> Pose:
    """One pose of a random kind, with a head that looks about."""
    kinds = list(POSES.values())
    weights = np.array([weight for _, weight in kinds])
    pose = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))][0](rng)
    turn = float(np.clip(rng.normal(0, 22), -65, 65))
    return replace(pose, nod=pose.nod + rng.normal(-4, 8), turn=turn, tilt=rng.normal(0, 6))


def sample_yaw(rng: np.random.Generator) -> float:
    """Degrees the body is turned: mostly towards the viewer, a quarter of the people seen from behind."""
    kind = rng.random()
    if kind < 0.5:
        return float(rng.normal(0, 28))
    if kind < 0.75:
        return float(rng.choice([-1, 1]) * rng.uniform(45, 125))
    return float(180 + rng.normal(0, 32))
