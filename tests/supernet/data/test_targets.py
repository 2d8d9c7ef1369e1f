import math

import numpy as np
import pytest
import torch

from supernet.data import AugmentOptions, targets
from supernet.data.annotations.records import Region
from supernet.data.targets import loss_mask, visible_joints
from supernet.data.transforms import Augmentation, sample, warp_keypoints
from supernet.pose.skeletons import Skeleton

MIRROR = Skeleton.load("crowdpose").flip
IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])
# Every resolution of space=litepose.
RESOLUTIONS = (256, 320, 384, 448, 512)


def draw_heatmaps(keypoints, side, sigma):
    return targets.draw_heatmaps(torch.from_numpy(keypoints)[None], (side, side), sigma)[0].numpy()


def joint_positions(keypoints, side, people, tagged=None):
    flags = torch.ones(1, len(keypoints), dtype=torch.bool) if tagged is None else torch.tensor([tagged])
    return targets.joint_positions(torch.from_numpy(keypoints)[None], flags, (side, side), people)[0].numpy()


def people(rng, count, side, joints=14):
    points = rng.uniform(-0.1 * side, 1.1 * side, (count, joints, 2))
    return np.concatenate([points, rng.integers(0, 3, (count, joints, 1))], axis=-1)


def literal_heatmaps(keypoints, side, sigma):
    """The definition, pixel by pixel, with the Gaussian cut off where the patch ends."""
    heats = np.zeros((keypoints.shape[1], side, side))
    radius = math.ceil(3 * sigma)
    for person in keypoints:
        for joint, (x, y, v) in enumerate(person):
            if v == 0 or not (0 <= x < side and 0 <= y < side):
                continue
            for row in range(side):
                for column in range(side):
                    if abs(row - math.floor(y)) <= radius and abs(column - math.floor(x)) <= radius:
                        squared = (column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2
                        value = math.exp(-squared / (2 * sigma**2))
                        heats[joint, row, column] = max(heats[joint, row, column], value)
    return heats


@pytest.mark.parametrize("sigma", [1.0, 2.0, 2.5])
def test_heatmaps_equal_the_definition(sigma):
    keypoints = people(np.random.default_rng(0), 4, 24, joints=3)
    heats = draw_heatmaps(keypoints, 24, sigma)
    assert heats.dtype == np.float32
    np.testing.assert_allclose(heats, literal_heatmaps(keypoints, 24, sigma), rtol=2e-6, atol=1e-7)


def test_nobody_gives_zeros():
    assert not draw_heatmaps(np.zeros((0, 14, 3)), 16, 2.0).any()
    assert not draw_heatmaps(np.zeros((2, 14, 3)), 16, 2.0).any()
    assert joint_positions(np.zeros((1, 14, 3)), 16, 5).shape == (5, 14, 3)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_peaks_sit_on_the_joints_at_every_resolution(resolution):
    """Image joints through augmentation to both maps: the peak is the pixel that holds the joint."""
    rng = np.random.default_rng(resolution)
    checked = 0
    for _ in range(12):
        keypoints = people(rng, 1, 480)
        augmentation = sample(rng, 640, 480, resolution, AugmentOptions())
        crop = warp_keypoints(keypoints, augmentation, MIRROR)
        for scale in (4, 2):
            side = resolution // scale
            mapped = crop / [scale, scale, 1]
            heats = draw_heatmaps(mapped, side, 2.0)
            positions = joint_positions(mapped, side, 1)[0]
            for joint in range(14):
                if not visible_joints(mapped, side)[0, joint]:
                    assert not heats[joint].any()
                    assert positions[joint].tolist() == [0, 0, 0]
                    continue
                row, column = np.unravel_index(heats[joint].argmax(), (side, side))
                assert (column, row) == tuple(np.floor(mapped[0, joint, :2]).astype(int))
                assert positions[joint].tolist() == [column, row, 1]
                assert math.exp(-1 / 16) - 1e-6 <= heats[joint].max() <= 1
                checked += 1
    assert checked > 100


def test_flipped_joints_give_flipped_maps():
    rng = np.random.default_rng(5)
    keypoints = people(rng, 3, 64)
    flip = sample(rng, 64, 64, 64, AugmentOptions(0.0, (1.0, 1.0), 0.0, 1.0))
    flipped = draw_heatmaps(warp_keypoints(keypoints, flip, MIRROR), 64, 2.0)
    straight = draw_heatmaps(keypoints, 64, 2.0)
    np.testing.assert_allclose(flipped[list(MIRROR)][:, :, ::-1], straight, atol=1e-5)


def test_masks_leave_out_regions_but_not_labelled_joints():
    keypoints = np.zeros((1, 2, 3))
    keypoints[0, 0] = [20.5, 12.5, 2]
    whole = Augmentation(IDENTITY, False, 64)
    mask = loss_mask(keypoints, [([Region.box(10, 4, 40, 20)], whole)], 64, 2.0)
    expected = np.ones((64, 64))
    expected[4:24, 10:50] = 0
    expected[12 - 6 : 12 + 7, 20 - 6 : 20 + 7] = 1
    # fillPoly also draws the outline, so the far edges may be a pixel wider.
    differing = np.argwhere(mask != expected)
    assert all(row in (3, 24) or column in (9, 50) for row, column in differing)
    assert (mask[6:19, 14:27] == 1).all()
    assert loss_mask(keypoints, [([], whole)], 64, 2.0).all()


def test_joint_positions():
    keypoints = np.zeros((4, 3, 3))
    keypoints[0, 0] = [3.9, 4.0, 1]
    keypoints[1, 1] = [70.0, 4.0, 2]  # off the map
    keypoints[2, 2] = [0.0, 63.99, 2]
    keypoints[3, 1] = [5.0, 5.0, 2]  # a crowd
    found = joint_positions(keypoints, 64, 3, tagged=[True, True, True, False])
    assert found.shape == (6, 3, 3), "nobody is lost, the axis grows by multiples"
    assert found[0].tolist() == [[3, 4, 1], [0, 0, 0], [0, 0, 0]]
    assert found[2].tolist() == [[0, 0, 0], [0, 0, 0], [0, 63, 1]]
    assert not found[[1, 3, 4, 5]].any()


def test_images_of_a_batch_do_not_mix():
    joints = torch.from_numpy(np.stack([people(np.random.default_rng(seed), 2, 32, 5) for seed in range(3)]))
    together = targets.draw_heatmaps(joints, (32, 32), 2.0)
    for row in range(3):
        assert torch.equal(together[row], targets.draw_heatmaps(joints[row : row + 1], (32, 32), 2.0)[0])


def test_a_map_that_is_no_square_is_the_part_of_one():
    joints = torch.from_numpy(people(np.random.default_rng(0), 4, 48, 5))[None]
    for height, width in ((48, 20), (20, 48)):
        inside = joints.clone()
        inside[..., 2] *= (joints[..., 0] < width) & (joints[..., 1] < height)
        square = targets.draw_heatmaps(inside, (48, 48), 2.0)
        assert torch.equal(targets.draw_heatmaps(joints, (height, width), 2.0), square[..., :height, :width])
        tagged = torch.ones(1, 4, dtype=torch.bool)
        positions = targets.joint_positions(joints, tagged, (height, width), 4)
        assert torch.equal(positions, targets.joint_positions(inside, tagged, (48, 48), 4))
