"""Heads: a shaded ball whose face, hair and cap follow its true direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .body import Floats, Joint, cross
from .canvas import SUPERSAMPLE, Canvas, Region, capsule, shade, shade_all

if TYPE_CHECKING:
    from .figure import Figure

_LIGHT = np.array([-0.42, -0.52, 0.74])
_DARK = (30, 25, 35)


@dataclass(frozen=True)
class _Skull:
    """A head on the screen: an ellipse, and the way that the ball in it is turned.

    Attributes:
        centre: (2,), in pixels.
        rx, ry: half its width and half its height, along `tilt` and `axis`.
        tilt, axis: (2,) unit vectors on the screen: across, and from chin to crown.
        face, up, ear: (3,) orthonormal right-handed-enough frame: ahead, to the crown, to the left.
    """

    centre: Floats
    rx: float
    ry: float
    tilt: Floats
    axis: Floats
    face: Floats
    up: Floats
    ear: Floats

    @classmethod
    def of(cls, figure: Figure) -> _Skull:
        """The head of `figure`."""
        neck, head = figure.joints[Joint.NECK, :2], figure.joints[Joint.HEAD, :2]
        length = max(float(np.linalg.norm(head - neck)), 0.1 * figure.unit)
        height = 0.5 * min(length, 0.2 * figure.unit)
        face = figure.face / np.linalg.norm(figure.face)
        up = figure.head_up - face * float(figure.head_up @ face)
        norm = float(np.linalg.norm(up))
        up = up / norm if norm > 1e-3 else np.array([0.0, -1.0, 0.0])
        tilt = np.array([-up[1], up[0]]) if abs(up[1]) > 1e-3 else np.array([1.0, 0.0])
        tilt = tilt / max(float(np.linalg.norm(tilt)), 1e-6)
        axis = np.array([tilt[1], -tilt[0]])
        return cls(neck + 0.56 * (head - neck), 0.8 * height, height, tilt, axis, face, up, cross(up, face))

    def place(self, point: Floats) -> Floats:
        """(2,) on the screen, of a point on the unit head (3-D directions to an ellipse along tilt/axis)."""
        across, high = float(point[:2] @ self.tilt), float(point[:2] @ self.axis)
        return self.centre + (self.rx * across * self.tilt + self.ry * high * self.axis)

    def outline(self, grow: float) -> Floats:
        """(28, 2) points around the head, `grow` pixels larger."""
        angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        x, y = np.cos(angles)[:, None], np.sin(angles)[:, None]
        return self.centre + x * (self.rx + grow) * self.tilt + y * (self.ry + grow) * self.axis


def draw_head(canvas: Canvas, figure: Figure) -> None:
    """Hair ball with a face cap, shaded; eyes, mouth, nose and cap when they turn to the viewer."""
    skull = _Skull.of(figure)
    # Rim first: a disc-shaped outline keeps the head apart from what is behind it.
    if abs(skull.face[2]) < 0.9:
        nose = skull.place(1.06 * skull.face - 0.12 * skull.up)
        canvas.disc(nose, 0.16 * skull.rx, shade(figure.style.skin, 0.85))
    canvas.fill(skull.outline(0.45), shade(figure.style.hair, 0.45))
    region = canvas.region(skull.outline(0.0))
    if region is not None:
        _paint_ball(canvas, figure, region, skull)
    if skull.face[2] > -0.6:
        _draw_features(canvas, figure, skull)
    if figure.style.hat:
        _draw_brim(canvas, figure, skull)


def _paint_ball(canvas: Canvas, figure: Figure, region: Region, skull: _Skull) -> None:
    h, w = region.mask.shape
    (tx, ty), (ax, ay) = (tuple(float(v) for v in side) for side in (skull.tilt, skull.axis))
    dx = (np.arange(w, dtype=np.float32) + region.x0 + 0.5)[None] / SUPERSAMPLE - float(skull.centre[0])
    dy = (np.arange(h, dtype=np.float32) + region.y0 + 0.5)[:, None] / SUPERSAMPLE - float(skull.centre[1])
    u = (dx * tx + dy * ty) / skull.rx
    v = (dx * ax + dy * ay) / skull.ry
    x, y = u * tx + v * ax, u * ty + v * ay
    ball = (x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0)))

    def along(direction: Floats) -> NDArray[np.float32]:
        total = sum(p * float(d) for p, d in zip(ball, direction, strict=True))
        return np.asarray(total, np.float32)

    height = along(skull.up)
    style = figure.style
    which = np.zeros((h, w), np.uint8)
    # Skin: the front cap below the hairline, and the nape.
    which[(along(skull.face) > 0.12) & (height < 0.52) | (height < -0.72)] = 1
    if style.hat:
        which[height > 0.34] = 2
    light = 0.62 + 0.5 * np.maximum(along(_LIGHT), 0)
    canvas.paste(region, shade_all((style.hair, style.skin, style.accent), which, light))


def _draw_features(canvas: Canvas, figure: Figure, skull: _Skull) -> None:
    rx, face, up, ear = skull.rx, skull.face, skull.up, skull.ear

    def place(right: float, high: float) -> tuple[Floats, float]:
        point = face * np.sqrt(max(1 - right * right - high * high, 0.0)) + right * ear + high * up
        return skull.place(point), float(point[2])

    for side in (-1.0, 1.0):
        eye, depth = place(0.4 * side, 0.1)
        if depth > 0.12:
            canvas.disc(eye, 0.17 * rx, (235, 235, 235), own=False)
            canvas.disc(eye, 0.12 * rx, _DARK, own=False)
            brow = np.stack(
                [place(right * side, high)[0] for right, high in ((0.58, 0.26), (0.42, 0.36), (0.22, 0.36))]
            )
            canvas.line(brow, shade(figure.style.hair, 0.7), 0.08 * rx)
    mouth = [place(right, high) for right, high in ((-0.28, -0.42), (0.0, -0.5), (0.28, -0.42))]
    if min(depth for _, depth in mouth) > 0.0:
        canvas.line(np.stack([p for p, _ in mouth]), (50, 45, 120), 0.11 * rx)
    nose, depth = place(0.0, -0.14)
    if depth > 0.3:
        canvas.disc(nose, 0.1 * rx, shade(figure.style.skin, 0.78), own=False)


def _draw_brim(canvas: Canvas, figure: Figure, skull: _Skull) -> None:
    """The peak of a cap points where the face looks; seen from behind there is none."""
    face, ear = skull.face, skull.ear
    if face[2] < -0.1:
        return
    corners = (
        0.7 * face + 0.6 * ear,
        1.4 * face + 0.35 * ear,
        1.4 * face - 0.35 * ear,
        0.7 * face - 0.6 * ear,
    )
    points = np.stack([skull.place(c + 0.36 * skull.up) for c in corners])
    canvas.fill(points, shade(figure.style.accent, 0.7))


def draw_hair_back(canvas: Canvas, figure: Figure) -> None:
    """Long hair down to the shoulders, behind the face."""
    skull = _Skull.of(figure)
    centre, rx, ry, face, up = skull.centre, skull.rx, skull.ry, skull.face, skull.up
    back = centre - 0.3 * rx * face[:2]
    # It hangs, so it falls down the screen unless the head is upside down.
    fall = np.array([0.0, 1.0]) if up[1] < 0.5 else np.array([0.0, -1.0])
    canvas.tube(back, back + 1.25 * ry * fall - 0.25 * rx * face[:2], 0.98 * rx, 0.8 * rx, figure.style.hair)
    canvas.fill(capsule(centre, centre, 0.5 * rx, 0.5 * rx), figure.style.hair, own=False)
