import json
import math

import cv2
import numpy as np
import pytest

from supernet.data import AugmentOptions, Loader, LoaderOptions, load_crowdpose
from supernet.data.transforms import (
    Augmentation,
    mosaic,
    photograph,
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
        ("mosaic", -0.1),
        ("hue", 181),
        ("blur", -1),
    ],
)
def test_bad_options_are_refused(field, value):
    with pytest.raises(InputError, match=f"data.augment.{field}="):
        AugmentOptions(**{field: value})


def test_parts_of_a_mosaic_cover_the_crop_once():
    rng, options = np.random.default_rng(4), AugmentOptions(mosaic=0.75)
    counts = []
    for _ in range(400):
        parts = mosaic(rng, 96, options, 4)
        counts.append(len(parts))
        if parts != [None]:
            covered = np.zeros((96, 96), int)
            for part in parts:
                assert part.width >= 0.35 * 96 - 2 <= part.height
                assert not any(side % 4 for side in part)
                part.of(covered)[:] += 1
            assert (covered == 1).all()
    shares = [counts.count(number) / 400 for number in (1, 2, 4)]
    assert shares == pytest.approx([0.25, 0.375, 0.375], abs=0.06)


def test_what_is_off_draws_nothing():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    rng, kept = np.random.default_rng(1), image.copy()
    assert mosaic(rng, 64, AugmentOptions(), 4) == [None]
    photograph(image, rng, AugmentOptions())
    np.testing.assert_array_equal(image, kept)
    assert rng.random() == np.random.default_rng(1).random()


@pytest.fixture
def beacons(tmp_path):
    """Grey pictures, each with one person, white spots for joints, and a red box of somebody unlabelled."""
    rng = np.random.default_rng(8)
    images, people = [], []
    (tmp_path / "images").mkdir()
    for key in range(1, 41):
        picture = np.full((96, 96, 3), 60, np.uint8)
        cv2.rectangle(picture, (60, 10), (89, 79), (0, 0, 200), -1)
        spots = rng.choice(5, 14)[:, None] * [0, 16] + [24, 12] + rng.uniform(-2, 2, (14, 2))
        for x, y in spots:
            picture = np.maximum(picture, marked(96, 96, x, y, 2.0))
        cv2.imwrite(str(tmp_path / f"images/{key}.png"), picture)
        images.append(
            {"id": key, "file_name": f"{key}.png", "width": 96, "height": 96, "source": "ab"[key % 2]}
        )
        keypoints = np.column_stack([spots, np.full(14, 2)])
        keypoints[10 if key % 2 else 11] = 0  # each source lacks one ankle
        for joints, box in ((keypoints, [1, 1, 50, 90]), (np.zeros((14, 3)), [60, 10, 30, 70])):
            entry = {"id": len(people), "image_id": key, "category_id": 1, "bbox": box}
            people.append({**entry, "keypoints": joints.ravel().tolist()})
    document = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "json").mkdir()
    (tmp_path / "json/crowdpose_train.json").write_text(json.dumps(document))
    return load_crowdpose(tmp_path, "train")


def test_joints_and_masks_of_a_mosaic_are_where_its_pictures_are(beacons):
    upright = AugmentOptions(mosaic=1.0, flip=0.0, rotation=10.0)
    batch = Loader(beacons, LoaderOptions(40), (128,), augment=upright).batch(0)
    images, joints = batch.images.numpy(), batch.joints.numpy()
    assert [(joints[row, :, :, 2].any(1)).sum() > 1 for row in range(40)].count(True) > 20
    for row in range(40):
        x, y = joints[row][joints[row, ..., 2] > 0][:, :2].astype(int).T
        assert (images[row, y, x].min(axis=-1) > 120).all(), "a joint is on no white spot"
        centres = images[row, 2::4, 2::4]
        red = (centres.min(axis=-1) < 20) & (centres[..., 0] > 150)
        masked = batch.masks[4][row].numpy() == 0
        far = np.ones((32, 32), bool)  # from joints, around which the loss counts in any case
        for column, line in zip(x // 4, y // 4, strict=True):
            far[max(line - 8, 0) : line + 9, max(column - 8, 0) : column + 9] = False
        inner = cv2.erode(red.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
        outer = cv2.dilate(red.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        assert masked[inner & far].all()
        assert not masked[~outer].any()
    # All pictures of one are of one source, so what it never labels is known.
    ankles = [11 if image_id % 2 == 0 else 10 for image_id in batch.image_ids.tolist()]
    assert batch.labelled.logical_not().nonzero().tolist() == [[row, j] for row, j in enumerate(ankles)]


def test_what_any_picture_of_a_mosaic_does_not_label_is_unknown(beacons):
    always = AugmentOptions(mosaic=1.0)
    unknown = Loader(beacons, LoaderOptions(40), (64,), augment=always).batch(0).labelled.logical_not()
    assert not unknown[:, [*range(10), 12, 13]].any()
    assert {tuple(row) for row in unknown[:, 10:12].tolist()} == {(True, True), (True, False), (False, True)}


def test_photographs_change_as_told():
    image = np.random.default_rng(5).integers(64, 128, (32, 32, 3), dtype=np.uint8)

    def changed(seed=0, **options):
        copy = image.copy()
        photograph(copy, np.random.default_rng(seed), AugmentOptions(**options))
        return copy.astype(float)

    # OpenCV reckons with 10 binary places, so that rounding may go to the next value.
    draws = 2 * np.random.default_rng(0).random(8) - 1
    luma = image @ [0.299, 0.587, 0.114]
    assert np.abs(changed(brightness=0.2) - (image + 51 * draws[0])).max() <= 1
    assert np.abs(changed(contrast=0.5) - (127.5 + (image - 127.5) * (1 + 0.5 * draws[1]))).max() <= 1
    share = 1 + 0.5 * draws[2]
    assert np.abs(changed(saturation=0.5) - (share * image + (1 - share) * luma[..., None])).max() <= 1
    turned = changed(hue=60)
    assert np.abs(turned.sum(-1) - image.sum(-1)).max() <= 3, "a turn of the colours keeps their sum"
    assert np.abs(turned - image).max() > 5
    assert np.abs(changed(grey=1.0) - luma[..., None]).max() <= 1
    np.testing.assert_array_equal(changed(grey=1.0, saturation=0.9, hue=90), changed(grey=1.0))
    assert changed(blur=3.0).std() < 0.6 * image.std()
    compressed = changed(jpeg=1.0)
    assert 0 < np.abs(compressed - image).mean() < 20
    np.testing.assert_array_equal(compressed, changed(jpeg=1.0))
    greys = [np.ptp(changed(seed, grey=0.3), axis=-1).max() == 0 for seed in range(200)]
    assert np.mean(greys) == pytest.approx(0.3, abs=0.08)
