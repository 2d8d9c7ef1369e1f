import math

import cv2
import numpy as np
import pytest

from supernet.data import AugmentOptions
from supernet.data.transforms import (
    Augmentation,
    pixel_centre_matrix,
    sample,
    warp_image,
    warp_keypoints,
    warp_points,
)
from supernet.errors import InputError
from supernet.pose.skeletons import Skeleton

MIRROR = Skeleton.load("crowdpose").flip


def marked(width, height, x, y, sigma):
    """A black picture with a white Gaussian mark centred on continuous (x, y)."""
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    mark = np.exp(-((columns[None] - x) ** 2 + (rows[:, None] - y) ** 2) / (2 * sigma**2))
    return np.repeat((255 * mark).round().astype(np.uint8)[:, :, None], 3, axis=2)


def centroid(image):
    weight = image[..., 0].astype(float)
    weight[weight < 8] = 0  # the tail is rounded to 8 bits
    columns, rows = np.arange(weight.shape[1]) + 0.5, np.arange(weight.shape[0]) + 0.5
    return np.array([(weight.sum(0) * columns).sum(), (weight.sum(1) * rows).sum()]) / weight.sum()


@pytest.mark.parametrize("resolution", [96, 192, 384])
def test_a_joint_lands_on_the_warped_mark(resolution):
    """1,000 random augmentations over three crop sizes (shrinking 2.5 times to growing 5 times)."""
    rng = np.random.default_rng(resolution)
    checked = 0
    worst = 0.0
    while checked < 334:
        width, height = rng.integers(90, 170, 2)
        augmentation = sample(rng, int(width), int(height), resolution, AugmentOptions())
        scale = math.sqrt(abs(np.linalg.det(augmentation.matrix[:, :2])))
        joint = rng.uniform(0, [width, height])
        mapped = warp_points(joint, augmentation.matrix)
        sigma = max(1.5, 1.2 / scale)
        # The whole mark has to be in the picture and in the crop, or its centroid shifts.
        margin_in, margin_out = 4 * sigma, 4 * sigma * scale + 1
        inside = (joint > margin_in).all() and (joint < [width - margin_in, height - margin_in]).all()
        if not inside or (mapped < margin_out).any() or (mapped > resolution - margin_out).any():
            continue
        warped = warp_image(marked(int(width), int(height), *joint, sigma), augmentation)
        worst = max(worst, float(np.abs(centroid(warped) - mapped).max()))
        checked += 1
    # The bar is half a pixel; what is left here is 8-bit rounding and OpenCV's 1/32 pixel steps.
    assert worst < 0.12


def test_large_reductions_do_not_shift_or_alias():
    image = marked(803, 601, 402.3, 251.7, 12.0)
    for resolution in (64, 128, 199):
        augmentation = Augmentation(np.array([[1, 0, 0], [0, 1, 0.0]]) * resolution / 601, False, resolution)
        expected = warp_points(np.array([402.3, 251.7]), augmentation.matrix)
        error = centroid(warp_image(image, augmentation)) - expected
        assert np.abs(error).max() < 0.1
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = 255
    reduced = warp_image(stripes, Augmentation(np.array([[0.25, 0, 0], [0, 0.25, 0]]), False, 100))
    assert np.abs(reduced.astype(int) - 128).max() <= 1


def test_identity_and_exact_flip_and_shift():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    identity = sample(np.random.default_rng(0), 64, 64, 64, AugmentOptions.none())
    np.testing.assert_allclose(identity.matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(warp_image(image, identity), image)
    flip = sample(np.random.default_rng(0), 64, 64, 64, AugmentOptions(0.0, (1.0, 1.0), 0.0, 1.0))
    assert flip.flip
    np.testing.assert_array_equal(warp_image(image, flip), image[:, ::-1])
    np.testing.assert_array_equal(warp_image(warp_image(image, flip), flip), image)


def test_flip_after_flip_is_the_identity_on_joints():
    rng = np.random.default_rng(1)
    keypoints = np.concatenate([rng.uniform(0, 64, (3, 14, 2)), rng.integers(0, 3, (3, 14, 1))], axis=-1)
    flip = sample(rng, 64, 64, 64, AugmentOptions(0.0, (1.0, 1.0), 0.0, 1.0))
    once = warp_keypoints(keypoints, flip, MIRROR)
    np.testing.assert_allclose(once[:, 0, 0], 64 - keypoints[:, 1, 0])
    np.testing.assert_array_equal(once[:, 0, 2], keypoints[:, 1, 2])
    np.testing.assert_allclose(warp_keypoints(once, flip, MIRROR), keypoints, atol=1e-12)


def test_ranges_are_kept_and_reached():
    options = AugmentOptions()
    rng = np.random.default_rng(2)
    angles, sides, shifts, flips = [], [], [], []
    for _ in range(3000):
        drawn = sample(rng, 640, 480, 256, options)
        linear = drawn.matrix[:, :2]
        side = 256 / math.sqrt(abs(np.linalg.det(linear)))
        unflipped = linear * [[-1 if drawn.flip else 1], [1]]
        angles.append(math.degrees(math.atan2(unflipped[1, 0], unflipped[1, 1])))
        centre = np.linalg.solve(linear, np.array([128, 128]) - drawn.matrix[:, 2])
        shifts.append((centre - [320, 240]) / side)
        sides.append(side / 480)
        flips.append(np.linalg.det(linear) < 0)
        assert flips[-1] == drawn.flip
    assert (min(angles), max(angles)) == pytest.approx((-30, 30), abs=0.5)
    assert (min(sides), max(sides)) == pytest.approx((0.75, 1.5), abs=0.01)
    assert (np.min(shifts), np.max(shifts)) == pytest.approx((-0.2, 0.2), abs=0.01)
    assert np.mean(flips) == pytest.approx(0.5, abs=0.05)


def test_pixel_centre_matrix_is_opencv_resize():
    """cv2.resize follows the same pixel convention, so an upscale by the matrix must equal it."""
    image = np.random.default_rng(3).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    matrix = np.array([[2.0, 0, 0], [0, 2.0, 0]])
    warped = cv2.warpAffine(image, pixel_centre_matrix(matrix), (40, 40), borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(warped.astype(int) - cv2.resize(image, (40, 40))).max() <= 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rotation", -1),
        ("rotation", 200),
        ("scale", (1.5, 0.5)),
        ("scale", (0, 1)),
        ("translation", 2),
        ("flip", 1.1),
    ],
)
def test_bad_options_are_refused(field, value):
    with pytest.raises(InputError, match=f"data.augment.{field}="):
        AugmentOptions(**{field: value})
