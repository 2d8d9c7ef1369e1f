"""One person as shaded parts: which are drawn, in which order, and which joints they leave visible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from . import limbs
from .body import NUM_JOINTS, Floats, Joint
from .canvas import PARTS, Canvas, Style
from .head import draw_hair_back, draw_head

TORSO, NECKPART, HEADPART, SKIRT, PACK, HAIR = 1, 2, 3, 16, 17, 18
UPPER, FORE, HAND, THIGH, SHANK, SHOE = 4, 6, 8, 10, 12, 14  # + 0 left, + 1 right


# How far the outline reaches beyond each joint, in stature units: hands beyond wrists, feet beyond ankles.
_PADS = np.full((NUM_JOINTS, 2), 0.035)
_PADS[[Joint.L_HIP, Joint.L_HIP + 1]] = 0.06
_PADS[[Joint.L_WRIST, Joint.L_WRIST + 1]] = 0.045
_PADS[Joint.HEAD] = 0.02
_PADS_DOWN = _PADS.copy()
_PADS_DOWN[[Joint.L_ANKLE, Joint.L_ANKLE + 1], 1] = 0.048


@dataclass(frozen=True)
class Figure:
    """A person ready to draw, in final pixels.

    Attributes:
        joints: (14, 3) x, y and depth towards the viewer.
        known: (14,) joints that exist; parts that need others are left out.
        unit: standing height in pixels (sets limb thickness).
        forward, face, head_up: (3,) unit vectors (x right, y down, z to the viewer).
        girth: thickness factor.
    """

    joints: Floats
    known: NDArray[np.bool_]
    unit: float
    forward: Floats
    face: Floats
    head_up: Floats
    girth: float
    style: Style

    def has(self, *joints: int) -> bool:
        """Whether all the given joints are known."""
        return all(self.known[j] for j in joints)

    def extent(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the body's outline, not clipped to the image."""
        xy, unit = self.joints[self.known, :2], self.unit
        pad, down = _PADS[self.known] * unit, _PADS_DOWN[self.known] * unit
        lo = (xy - pad).min(0)
        hi = (xy + down).max(0)
        return float(lo[0]), float(lo[1]), float(hi[0]), float(hi[1])


@dataclass(frozen=True)
class Part:
    """Something to draw: how near it is, its number in the owner map, and how to draw it."""

    depth: float
    number: int
    paint: Callable[[], None]


def draw_figure(canvas: Canvas, figure: Figure, person: int) -> None:
    """Draw `figure` back to front; `person` (1, 2, ...) marks its pixels in the owner map."""
    parts = _limb_parts(canvas, figure) + _trunk_parts(canvas, figure)
    drawn = {part.number for part in parts}
    for joint in np.flatnonzero(figure.known):
        if not _CARRIERS[joint] & drawn:
            paint = partial(limbs.stub, canvas, figure, int(joint))
            parts.append(Part(float(figure.joints[joint, 2]), min(_CARRIERS[joint]), paint))
    for part in sorted(parts, key=lambda part: part.depth):
        canvas.tag = person * PARTS + part.number
        part.paint()
    canvas.tag = 0


def _limb_parts(canvas: Canvas, figure: Figure) -> list[Part]:
    """Arms, legs and a skirt; limbs beside the trunk count as before it, so that hanging arms show."""
    parts = []
    z, unit = figure.joints[:, 2].tolist(), figure.unit
    for side in (0, 1):
        s, e, w = Joint.L_SHOULDER + side, Joint.L_ELBOW + side, Joint.L_WRIST + side
        h, k, a = Joint.L_HIP + side, Joint.L_KNEE + side, Joint.L_ANKLE + side
        for start, end, bias, number, paint in (
            (s, e, 0.03, UPPER, limbs.upper_arm),
            (e, w, 0.04, FORE, limbs.forearm),
            (e, w, 0.041, HAND, limbs.hand),
            (h, k, -0.03, THIGH, limbs.thigh),
            (k, a, -0.04, SHANK, limbs.shank),
            (k, a, -0.041, SHOE, limbs.shoe),
        ):
            if figure.has(start, end):
                depth = (z[start] + z[end]) / 2 + bias * unit
                parts.append(Part(depth, number + side, partial(paint, canvas, figure, start, end)))
    hips_and_knees = (Joint.L_HIP, Joint.L_HIP + 1, Joint.L_KNEE, Joint.L_KNEE + 1)
    if figure.style.leg == "skirt" and figure.has(*hips_and_knees):
        depth = sum(z[j] for j in hips_and_knees) / 4 - 0.01 * unit
        parts.append(Part(depth, SKIRT, partial(limbs.skirt, canvas, figure)))
    return parts


def _trunk_parts(canvas: Canvas, figure: Figure) -> list[Part]:
    """Trunk, backpack, neck, head and long hair."""
    parts = []
    z, unit = figure.joints[:, 2], figure.unit
    corners = [
        j for j in (Joint.L_SHOULDER, Joint.L_SHOULDER + 1, Joint.L_HIP, Joint.L_HIP + 1) if figure.known[j]
    ]
    middle = float(z[corners].mean()) if corners else 0.0
    if len(corners) >= 2:
        parts.append(Part(middle, TORSO, partial(limbs.draw_torso, canvas, figure)))
    if figure.style.backpack and len(corners) == 4:
        behind = middle - 0.14 * unit * float(figure.forward[2])
        parts.append(Part(behind, PACK, partial(limbs.draw_backpack, canvas, figure)))
    if figure.has(Joint.HEAD, Joint.NECK):
        head = float(z[Joint.HEAD] + z[Joint.NECK]) / 2 + 0.05 * unit
        neck = min(head, middle) - 0.005 * unit
        parts.append(Part(neck, NECKPART, partial(limbs.draw_neck, canvas, figure)))
        parts.append(Part(head, HEADPART, partial(draw_head, canvas, figure)))
        if figure.style.long_hair:
            # Behind shoulders that face the viewer, over a back that does.
            fall = min(head, middle) - 0.06 * unit if figure.face[2] > 0 else head + 0.01 * unit
            parts.append(Part(fall, HAIR, partial(draw_hair_back, canvas, figure)))
    return parts


def _carriers() -> tuple[frozenset[int], ...]:
    """Per joint, the parts that show it: a joint under any other part is hidden."""
    out: list[frozenset[int]] = [frozenset()] * NUM_JOINTS
    for side in (0, 1):
        out[Joint.L_SHOULDER + side] = frozenset({TORSO, UPPER + side, PACK})
        out[Joint.L_ELBOW + side] = frozenset({UPPER + side, FORE + side})
        out[Joint.L_WRIST + side] = frozenset({FORE + side, HAND + side})
        out[Joint.L_HIP + side] = frozenset({TORSO, THIGH + side, SKIRT})
        out[Joint.L_KNEE + side] = frozenset({THIGH + side, SHANK + side, SKIRT})
        out[Joint.L_ANKLE + side] = frozenset({SHANK + side, SHOE + side})
    out[Joint.HEAD] = frozenset({HEADPART, HAIR})
    out[Joint.NECK] = frozenset({HEADPART, NECKPART, TORSO, HAIR, PACK})
    return tuple(out)


_CARRIERS = _carriers()


def visible_joints(canvas: Canvas, figure: Figure, person: int) -> NDArray[np.bool_]:
    """(14,) whether each joint's own part is what is seen at its place."""
    seen = np.zeros(NUM_JOINTS, bool)
    for j in np.flatnonzero(figure.known):
        owner = canvas.owner_at(figure.joints[j, :2])
        seen[j] = owner // PARTS == person and owner % PARTS in _CARRIERS[j]
    return seen
