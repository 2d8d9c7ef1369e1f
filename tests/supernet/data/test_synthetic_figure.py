"""Bodies and figures: anatomy, left and right, what hides what."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernet.data.synthetic.body import Arm, Joint, Pose, Shape, build_body
from supernet.data.synthetic.canvas import PARTS, SUPERSAMPLE, Canvas, Style, sample_style
from supernet.data.synthetic.figure import Figure, draw_figure, visible_joints
from supernet.data.synthetic.poses import POSES, sample_pose

STYLE = Style(
    skin=(120, 160, 220),
    hair=(20, 20, 20),
    shirt=(200, 60, 40),
    sleeves=(180, 120, 40),
    accent=(40, 220, 240),
    legs=(60, 60, 60),
    shoes=(250, 250, 250),
    panel="open",
    sleeve=2,
    leg="trousers",
    pattern="plain",
    long_hair=False,
    hat=False,
    backpack=False,
)


def figure(pose: Pose, yaw: float, at: tuple[float, float] = (100.0, 100.0), unit: float = 150.0) -> Figure:
    body = build_body(pose, Shape(), yaw)
    joints = body.joints * unit + np.array([*at, 0.0])
    known = np.ones(14, bool)
    return Figure(joints, known, unit, body.forward, body.face, body.head_up, 1.0, STYLE)


def drawn(*figures: Figure) -> Canvas:
    canvas = Canvas.blank(200, 200)
    for number, one in enumerate(figures, start=1):
        draw_figure(canvas, one, number)
    return canvas


def colour_at(canvas: Canvas, x: float, y: float) -> tuple[int, ...]:
    return tuple(int(v) for v in canvas.image[int(y * SUPERSAMPLE), int(x * SUPERSAMPLE)])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), yaw=st.floats(-180, 180), pitch=st.floats(0, 30))
def test_bones_keep_their_length(seed: int, yaw: float, pitch: float) -> None:
    shape = Shape()
    joints = build_body(sample_pose(np.random.default_rng(seed)), shape, yaw, pitch).joints

    def length(a: int, b: int) -> float:
        return float(np.linalg.norm(joints[a] - joints[b]))

    for side in (0, 1):
        assert length(Joint.L_SHOULDER + side, Joint.L_ELBOW + side) == pytest.approx(shape.arm)
        assert length(Joint.L_ELBOW + side, Joint.L_WRIST + side) == pytest.approx(0.9 * shape.arm)
        assert length(Joint.L_HIP + side, Joint.L_KNEE + side) == pytest.approx(shape.leg)
    assert length(Joint.L_SHOULDER, Joint.R_SHOULDER) == pytest.approx(2 * shape.shoulder)
    assert length(Joint.HEAD, Joint.NECK) == pytest.approx(shape.head)


def test_left_is_on_the_right_of_who_faces_us_and_on_the_left_of_who_does_not() -> None:
    front, back = (build_body(Pose(), Shape(), yaw).joints for yaw in (0.0, 180.0))
    assert (front[0:12:2, 0] > front[1:12:2, 0]).all()
    assert (back[0:12:2, 0] < back[1:12:2, 0]).all()


def test_who_faces_right_shows_the_right_side() -> None:
    body = build_body(Pose(), Shape(), 90.0)
    assert body.joints[Joint.R_SHOULDER, 2] > body.joints[Joint.L_SHOULDER, 2]
    assert body.forward == pytest.approx([1, 0, 0])


def test_raised_arms_are_above_and_forward_arms_in_front() -> None:
    up = Arm(flex=0, out=170, fore_flex=0, fore_out=170)
    ahead = Arm(flex=90, out=0, fore_flex=90, fore_out=0)
    joints = build_body(Pose(left_arm=up, right_arm=ahead), Shape(), 0.0).joints
    assert joints[Joint.L_WRIST, 1] < joints[Joint.HEAD, 1]
    assert joints[Joint.R_WRIST, 2] > joints[Joint.R_SHOULDER, 2] + 0.25


@pytest.mark.parametrize("kind", POSES)
def test_every_pose_kind_gives_a_body(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        pose = POSES[kind][0](rng)
        assert np.isfinite(build_body(pose, Shape(), 30.0, 10.0).joints).all()
        assert pose.seated == (kind == "sit")


def test_the_face_and_the_open_jacket_are_seen_from_the_front_only() -> None:
    for yaw, face in ((0.0, True), (180.0, False)):
        one = figure(Pose(), yaw)
        canvas = drawn(one)
        chin = one.joints[Joint.NECK] + 0.35 * (one.joints[Joint.HEAD] - one.joints[Joint.NECK])
        blue, _, red = colour_at(canvas, chin[0] + 3, chin[1])
        assert (red > blue + 40) == face
        belly = one.joints[[Joint.L_SHOULDER, Joint.L_HIP]].mean(0)
        blue, _, red = colour_at(canvas, 100, belly[1])
        assert (red > blue) == face  # the panel is yellow, the shirt blue


def test_all_joints_of_somebody_alone_with_arms_out_are_visible() -> None:
    out = Arm(flex=0, out=60, fore_flex=0, fore_out=60)
    one = figure(Pose(left_arm=out, right_arm=out), 0.0)
    assert visible_joints(drawn(one), one, 1).all()


def test_the_far_arm_is_hidden_by_the_trunk() -> None:
    seen = visible_joints(drawn(one := figure(Pose(), 90.0)), one, 1)
    assert seen[Joint.R_WRIST]
    assert not seen[Joint.L_SHOULDER]


def test_somebody_in_front_hides_who_is_behind() -> None:
    small = figure(Pose(), 0.0, unit=90.0)
    large = figure(Pose(), 0.0, unit=170.0)
    canvas = drawn(small, large)
    assert visible_joints(canvas, large, 2).sum() > 10
    assert visible_joints(canvas, small, 1).sum() < 4
    assert set(np.unique(canvas.owner // PARTS)) <= {0, 1, 2}


@pytest.mark.parametrize(
    "missing",
    [(), (Joint.HEAD,), (Joint.HEAD, Joint.NECK), (0, 1), (0, 1, 13), (6, 7), (0, 6), tuple(range(13))],
)
def test_parts_without_joints_are_left_out_and_lone_joints_still_show(missing: tuple[int, ...]) -> None:
    out = Arm(flex=0, out=60, fore_flex=0, fore_out=60)
    whole = figure(Pose(left_arm=out, right_arm=out), 0.0)
    known = whole.known.copy()
    known[list(missing)] = False
    one = dataclasses.replace(whole, known=known)
    seen = visible_joints(drawn(one), one, 1)
    assert (seen == known).all()


def test_drawing_outside_the_picture_does_no_harm() -> None:
    one = figure(Pose(), 0.0, at=(-500.0, 900.0))
    canvas = drawn(one)
    assert not canvas.owner.any()
    assert not visible_joints(canvas, one, 1).any()


def test_styles_vary_and_are_drawn() -> None:
    styles = [sample_style(np.random.default_rng(seed)) for seed in range(60)]
    assert {s.leg for s in styles} == {"trousers", "shorts", "skirt"}
    assert {s.panel for s in styles} == {"open", "print", "tie", "bib", "none"}
    for number, style in enumerate(styles):
        one = dataclasses.replace(figure(Pose(), 6.0 * number), style=style)
        assert drawn(one).owner.any()
