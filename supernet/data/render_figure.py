"""One person as shaded parts: which are drawn, in which order, and which joints they leave visible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import render_limbs
from . import render_torso
from .render_body import HEAD
from .render_body import L_ANKLE
from .render_body import L_ELBOW
from .render_body import L_HIP
from .render_body import L_KNEE
from .render_body import L_SHOULDER
from .render_body import L_WRIST
from .render_body import NECK
from .render_body import NUM_JOINTS
from .render_body import Floats
from .render_canvas import PARTS
from .render_canvas import Canvas
from .render_head import draw_hair_back
from .render_head import draw_head
from .render_style import Style

TORSO, NECKPART, HEADPART, SKIRT, PACK, HAIR = 1, 2, 3, 16, 17, 18
UPPER, FORE, HAND, THIGH, SHANK, SHOE = 4, 6, 8, 10, 12, 14  # + 0 left, + 1 right


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
        return bool(self.known[list(joints)].all())

    def extent(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of the body's outline, not clipped to the image."""
        pads = np.full(NUM_JOINTS, 0.035)
        pads[[L_HIP, L_HIP + 1]] = 0.06
        pads[HEAD] = 0.02
        # Hands reach beyond the wrists and feet beyond the ankles.
        pads[[L_WRIST, L_WRIST + 1]] = 0.045
        down = pads.copy()
        down[[L_ANKLE, L_ANKLE + 1]] = 0.048
        xy, pad = self.joints[self.known, :2], pads[self.known, None] * self.unit
        lo = (xy - pad).min(0)
        hi = (xy + np.stack([pad[:, 0], down[self.known] * self.unit], 1)).max(0)
        return float(lo[0]), float(lo[1]), float(hi[0]), float(hi[1])


Painter = Callable[[], None]


def draw_figure(canvas: Canvas, figure: Figure, person: int) -> None:
    """Draw `figure` back to front; `person` (1, 2, ...) marks its pixels in the owner map."""
    parts: list[tuple[float, int, Painter]] = []
    z, unit = figure.joints[:, 2], figure.unit

    def add(depth: float, part: int, painter: Painter) -> None:
        parts.append((depth, part, painter))

    torso_joints = [j for j in (L_SHOULDER, L_SHOULDER + 1, L_HIP, L_HIP + 1) if figure.known[j]]
    middle = float(z[torso_joints].mean()) if torso_joints else 0.0
    # Limbs beside the torso count as in front of it, so that hanging arms stay visible.
    for side in (0, 1):
        s, e, w = L_SHOULDER + side, L_ELBOW + side, L_WRIST + side
        h, k, a = L_HIP + side, L_KNEE + side, L_ANKLE + side
        if figure.has(s, e):
            add(
                z[[s, e]].mean() + 0.03 * unit,
                UPPER + side,
                _bind(render_limbs.upper_arm, canvas, figure, s, e),
            )
        if figure.has(e, w):
            fore = z[[e, w]].mean() + 0.04 * unit
            add(fore, FORE + side, _bind(render_limbs.forearm, canvas, figure, e, w))
            add(fore + 1e-3, HAND + side, _bind(render_limbs.hand, canvas, figure, e, w))
        if figure.has(h, k):
            add(z[[h, k]].mean() - 0.03 * unit, THIGH + side, _bind(render_limbs.thigh, canvas, figure, h, k))
        if figure.has(k, a):
            shank = z[[k, a]].mean() - 0.04 * unit
            add(shank, SHANK + side, _bind(render_limbs.shank, canvas, figure, k, a))
            add(shank - 1e-3, SHOE + side, _bind(render_limbs.shoe, canvas, figure, k, a))
    if figure.style.leg == "skirt" and figure.has(L_HIP, L_HIP + 1, L_KNEE, L_KNEE + 1):
        knees = float(z[[L_HIP, L_HIP + 1, L_KNEE, L_KNEE + 1]].mean())
        add(knees - 0.01 * unit, SKIRT, lambda: render_limbs.skirt(canvas, figure))
    if len(torso_joints) >= 2:
        add(middle, TORSO, lambda: render_torso.draw_torso(canvas, figure))
        if figure.style.backpack and figure.has(L_SHOULDER, L_SHOULDER + 1, L_HIP, L_HIP + 1):
            behind = middle - 0.14 * unit * float(figure.forward[2])
            add(behind, PACK, lambda: render_torso.draw_backpack(canvas, figure))
    if figure.has(HEAD, NECK):
        head = float(z[[HEAD, NECK]].mean()) + 0.05 * unit
        add(min(head, middle) - 0.005 * unit, NECKPART, lambda: render_torso.draw_neck(canvas, figure))
        add(head, HEADPART, lambda: draw_head(canvas, figure))
        if figure.style.long_hair:
            # Behind shoulders that face the viewer, over a back that does.
            fall = min(head, middle) - 0.06 * unit if figure.face[2] > 0 else head + 0.01 * unit
            add(fall, HAIR, lambda: draw_hair_back(canvas, figure))
    for joint in np.flatnonzero(figure.known):
        if not _CARRIERS[joint] & {part for _, part, _ in parts}:
            stub = min(_CARRIERS[joint])
            add(z[joint], stub, _bind_joint(canvas, figure, int(joint)))
    for _, part, painter in sorted(parts, key=lambda item: item[0]):
        canvas.tag = person * PARTS + part
        painter()
    canvas.tag = 0


def _bind(
    painter: Callable[[Canvas, Figure, int, int], None], canvas: Canvas, figure: Figure, a: int, b: int
) -> Painter:
    return lambda: painter(canvas, figure, a, b)


def _bind_joint(canvas: Canvas, figure: Figure, joint: int) -> Painter:
    return lambda: render_limbs.stub(canvas, figure, joint)


def _carriers() -> tuple[frozenset[int], ...]:
    """Per joint, the parts that show it: a joint under any other part is hidden."""
    out: list[frozenset[int]] = [frozenset()] * NUM_JOINTS
    for side in (0, 1):
        out[L_SHOULDER + side] = frozenset({TORSO, UPPER + side, PACK})
        out[L_ELBOW + side] = frozenset({UPPER + side, FORE + side})
        out[L_WRIST + side] = frozenset({FORE + side, HAND + side})
        out[L_HIP + side] = frozenset({TORSO, THIGH + side, SKIRT})
        out[L_KNEE + side] = frozenset({THIGH + side, SHANK + side, SKIRT})
        out[L_ANKLE + side] = frozenset({SHANK + side, SHOE + side})
    out[HEAD] = frozenset({HEADPART, HAIR})
    out[NECK] = frozenset({HEADPART, NECKPART, TORSO, HAIR, PACK})
    return tuple(out)


_CARRIERS = _carriers()


def visible_joints(canvas: Canvas, figure: Figure, person: int) -> NDArray[np.bool_]:
    """(14,) whether each joint's own part is what is seen at its place."""
    seen = np.zeros(NUM_JOINTS, bool)
    for j in np.flatnonzero(figure.known):
        owner = canvas.owner_at(figure.joints[j, :2])
        seen[j] = owner // PARTS == person and owner % PARTS in _CARRIERS[j]
    return seen
