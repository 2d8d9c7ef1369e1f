"""The top-down path: crops and back, targets and decoding, training, scoring on either kind of boxes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from subnets.families.static import StaticArch
from subnets.network import build
from subnets.topdown.__main__ import open_topdown, run, starting_network
from subnets.topdown.crops import (
    PersonBatches,
    crop_of_box,
    crop_targets,
    find_people,
    in_image,
    joints_in_crop,
    predicted_boxes,
    score_people,
    train_crops,
    true_boxes,
    warp_crop,
)
from subnets.topdown.options import CropOptions, TopDownCommand, TopDownOptions
from supernet import InputError
from supernet.data.options import AugmentOptions
from supernet.data.source import open_split
from supernet.family import load_arch
from supernet.heads.contract import HEADS, Output, head_of
from supernet.heads.losses import PoseLoss
from supernet.heads.single import HEATMAPS, Heatmaps
from supernet.pose import Skeleton
from supernet.pose.people import People
from supernet.training.options import OptimizerOptions

ROOT = Path(__file__).parents[3]
SHAPE = (96, 64)
ARCH = StaticArch("lpn", SHAPE, {"depths": [1, 1, 1, 1], "widths": [8, 16, 16, 32], "deconvs": [16, 16]})


class Coarse(Heatmaps):
    """Heatmaps at 1/8."""

    name = "coarse"

    def outputs(self, num_joints):
        return (Output("coarse", num_joints, 8),)


COARSE = HEADS.register("coarse", Coarse())
OPTIMIZER = OptimizerOptions(lr=3e-3, warmup=5, ema=0.0)


def perfect_people(dataset, shape, mirrored=False, head=HEATMAPS):
    """People decoded from the very targets that a network is trained to give."""
    found = []
    for record in dataset.records:
        poses = []
        for box, keypoints in zip(record.boxes, record.keypoints, strict=True):
            crop = crop_of_box(box, shape, angle=20.0 if mirrored else 0.0, mirrored=mirrored)
            joints = joints_in_crop(keypoints, crop, shape, dataset.skeleton.flip)
            targets = crop_targets(head, [np.zeros((*shape, 3), np.uint8)], joints[None])
            outputs = [heats.numpy() for heats in targets.heats]
            pose = in_image(head.person([outputs], dataset.skeleton)[0], crop)
            poses.append(pose[list(dataset.skeleton.flip)] if mirrored else pose)
        keypoints = np.array(poses, np.float32).reshape(-1, dataset.skeleton.num_joints, 3)
        found.append(People(keypoints, np.zeros((len(keypoints), 1)), keypoints[..., 2].mean(1)))
    return found


def test_a_crop_shows_its_box_in_the_middle_with_a_margin():
    crop = crop_of_box(np.array([10.0, 20.0, 30.0, 80.0]), (256, 192))
    middle = crop.matrix[:, :2] @ [25, 60] + crop.matrix[:, 2]
    assert middle == pytest.approx([96, 128])
    top = crop.matrix[:, :2] @ [25, 20] + crop.matrix[:, 2]
    assert top == pytest.approx([96, 128 - 128 / 1.25])
    image = np.zeros((120, 60, 3), np.uint8)
    image[20:100, 10:40] = 255
    pixels = warp_crop(image, crop, (256, 192))
    assert pixels.shape == (256, 192, 3)
    assert pixels[128, 96].min() == 255
    assert pixels[:20].max() == 0


@pytest.mark.parametrize(("head", "mirrored"), [(HEATMAPS, False), (HEATMAPS, True), (COARSE, False)])
def test_decoding_the_targets_gives_the_joints_back(tiny_data, head, mirrored):
    dataset = open_split(tiny_data, "test")
    people = perfect_people(dataset, (256, 192), mirrored, head)
    stats, detections = score_people(dataset, people)
    assert stats["AP"] > 0.97
    assert len(detections) == dataset.num_people


def test_training_lowers_the_loss_and_resumes_exactly(tiny_data, tmp_path, monkeypatch):
    dataset = open_split(tiny_data, "train")
    batches = PersonBatches(HEATMAPS, dataset, SHAPE, batch_size=4, seed=0, augment=CropOptions(flip=0.5))

    def fresh():
        return build(ARCH, 14, seed=0)

    whole, broken = fresh(), fresh()
    assert train_crops(whole, batches, OPTIMIZER, 20, tmp_path / "whole") == 0
    stops = dict.fromkeys(range(3), None)

    def fails(step):
        if step == len(stops):
            raise RuntimeError("killed")
        return batches(step)

    with monkeypatch.context() as patch:
        patch.setattr("subnets.topdown.crops.SAVE_EVERY", 2)
        with pytest.raises(RuntimeError, match="killed"):
            train_crops(broken, fails, OPTIMIZER, 20, tmp_path / "broken")
    broken = fresh()
    train_crops(broken, batches, OPTIMIZER, 20, tmp_path / "broken")
    mine, theirs = dict(whole.named_parameters()), dict(broken.named_parameters())
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())

    def loss_of(net):
        images, targets = batches(1000)
        with torch.no_grad():
            return PoseLoss(HEATMAPS)(net.train()(images), targets)[0]

    assert loss_of(whole) < 0.6 * loss_of(fresh())


def test_a_head_at_another_scale_is_trained_with_its_own_targets(tiny_data, tmp_path):
    arch = replace(load_arch("litepose-xs"), head_kind="coarse", resolution=64)
    net = build(arch, 14, seed=0)
    batches = PersonBatches(
        head_of(arch), open_split(tiny_data, "train"), (64, 64), 2, 0, CropOptions(flip=0.5)
    )
    _, targets = batches(0)
    assert [heats.shape for heats in targets.heats] == [(2, 14, 8, 8)]
    assert train_crops(net, batches, OPTIMIZER, 1, tmp_path) == 0


def test_boxes_from_a_prediction_surround_its_joints(tiny_data, tmp_path):
    dataset = open_split(tiny_data, "test")
    _, detections = score_people(dataset, perfect_people(dataset, (256, 192)))
    (tmp_path / "found.json").write_text(json.dumps(detections))
    boxes = predicted_boxes(tmp_path / "found.json", dataset)
    assert [len(found) for found, _ in boxes] == [len(found) for found, _ in true_boxes(dataset)]
    record = dataset.records[0]
    joints = record.keypoints[0][record.keypoints[0][:, 2] > 0, :2]
    assert boxes[0][0][0] == pytest.approx([*joints.min(0), *np.ptp(joints, axis=0)], abs=2.0)
    with pytest.raises(InputError, match="nowhere"):
        predicted_boxes(tmp_path / "nowhere.json", dataset)


def test_joints_of_any_name_are_scored_by_the_layout_of_their_data(tiny_data):
    dataset = open_split(tiny_data, "test")
    people = perfect_people(dataset, (256, 192))
    stats, _ = score_people(dataset, people)
    own = dataset.subset(range(len(dataset)))
    own.skeleton = Skeleton.from_dict({**dataset.skeleton.to_dict(), "name": "tongs"})
    assert score_people(own, people)[0] == stats


def test_mirror_images_follow_the_data_unless_said_otherwise(tiny_data):
    two_tone = replace(tiny_data, augment=AugmentOptions(flip=0.0))
    command = TopDownCommand(data=two_tone)
    assert (command.crops, command.flip_test) == (CropOptions(0.3, 40.0, 0.0), False)
    assert TopDownCommand(data=replace(tiny_data, augment=AugmentOptions(flip=0.5))).flip_test
    told = TopDownOptions(flip=True, augment=CropOptions(scale=0.0, rotation=0.0, flip=1.0))
    told = TopDownCommand(data=two_tone, topdown=told)
    assert (told.crops.flip, told.flip_test) == (1.0, True)
    dataset = open_split(two_tone, "train")
    batch = {}
    for name, options in (("never", command.crops), ("always", told.crops)):
        still = replace(options, scale=0.0, rotation=0.0)
        batch[name] = PersonBatches(HEATMAPS, dataset, SHAPE, 3, 0, still)(0)
    assert (batch["never"][0] - batch["always"][0].flip(3)).abs().max() < 0.1
    mirror = list(dataset.skeleton.flip)
    (never,), (always,) = (batch[name][1].heats for name in ("never", "always"))
    assert torch.allclose(never, always[:, mirror].flip(3), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TopDownOptions, {"images": 0}, r"topdown\.images=0 is not between 1 and"),
        (TopDownOptions, {"images": -1}, r"topdown\.images=-1 is not between 1 and"),
        (TopDownCommand, {"threads": 0}, "threads=0 is not between 1 and 1024"),
        (TopDownCommand, {"seed": -1}, "seed=-1 must be 0"),
        (CropOptions, {"flip": 1.5}, r"topdown\.augment\.flip=1\.5 is not between 0 and 1"),
        (CropOptions, {"scale": 1.0}, r"topdown\.augment\.scale=1\.0 is not between 0 and 0\.95"),
    ],
)
def test_options_out_of_range_are_named(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)


@pytest.fixture
def command(tiny_data, tmp_path):
    """The command's settings for two steps of the small network."""
    ARCH.save(tmp_path / "small-lpn.yaml")
    options = TopDownOptions(steps=2, batch_size=2, calibration=4, images=2, optimizer=OPTIMIZER)
    return TopDownCommand(arch=str(tmp_path / "small-lpn.yaml"), data=tiny_data, topdown=options)


def test_random_weights_are_those_of_the_seed(command):
    opened = open_topdown(command)
    first, again, other = (
        starting_network(replace(command, seed=seed), opened).state_dict() for seed in (1, 1, 2)
    )
    name = "body.0.body.0.conv.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])


def test_a_misspelt_file_of_boxes_is_found_before_the_training(command, tmp_path, capsys):
    folder = tmp_path / "run"
    wrong = replace(command, topdown=replace(command.topdown, boxes="thruth"))
    with pytest.raises(InputError, match="thruth does not exist"):
        run(wrong, folder)
    assert not folder.exists()
    run(command, folder)
    assert "boxes truth: AP" in capsys.readouterr().out
    # Boxes of the whole split, of which two images are scored.
    dataset = open_split(command.data, "test")
    _, detections = score_people(dataset, perfect_people(dataset, SHAPE))
    (tmp_path / "found.json").write_text(json.dumps(detections))
    found = replace(command.topdown, steps=0, boxes=str(tmp_path / "found.json"))
    network = replace(command, arch=str(folder / "network"), topdown=found)
    run(network, tmp_path / "found")
    assert json.loads((tmp_path / "found/result.json").read_text())["images"] == 2
    run(network, tmp_path / "found")
    (tmp_path / "found.json").write_text(json.dumps(detections[1:]))
    with pytest.raises(InputError, match=r"result\.json is the score of other boxes; choose another name"):
        run(network, tmp_path / "found")


def test_a_score_is_not_handed_out_for_other_weights(command, tmp_path):
    run(command, tmp_path / "run")
    once = replace(command, topdown=replace(command.topdown, steps=0), arch=str(tmp_path / "run/network"))
    run(once, tmp_path / "scored")
    before = (tmp_path / "scored/result.json").read_text()
    run(replace(command, seed=1), tmp_path / "other")
    for file in ("model.safetensors", "meta.json"):
        (tmp_path / "run/network" / file).write_bytes((tmp_path / "other/network" / file).read_bytes())
    with pytest.raises(InputError, match=r"result\.json is the score of other weights; choose another name"):
        run(once, tmp_path / "scored")
    assert (tmp_path / "scored/result.json").read_text() == before


def test_networks_of_other_joints_are_refused(command, tmp_path):
    joints = {
        "name": "tongs",
        "joints": ["hinge", "left_tip", "right_tip"],
        "sigmas": [0.08] * 3,
        "edges": [],
    }
    (tmp_path / "tongs.yaml").write_text(json.dumps(joints))
    untrained = replace(command, skeleton=str(tmp_path / "tongs.yaml"))
    with pytest.raises(InputError, match=r"finds the 3 joints of 'tongs', .* give the skeleton= of the data"):
        run(untrained, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_flip_test_exchanges_left_and_right(tiny_data):
    dataset = open_split(tiny_data, "test").subset([0])
    mirror = list(dataset.skeleton.flip)
    left = np.zeros((1, 14, 24, 16), np.float32)
    left[:, :, 12, 3] = 1.0

    def run(images):
        # Every joint at column 3, in the mirrored image (the second call) where it belongs: 15 - 3.
        run.calls += 1
        return [np.repeat(left if run.calls % 2 else left[..., ::-1], len(images), 0)]

    run.calls = 0
    assert mirror != list(range(14))
    boxes = true_boxes(dataset)
    plain = find_people(
        lambda images: [np.repeat(left, len(images), 0)], HEATMAPS, dataset, boxes, SHAPE, False
    )
    flipped = find_people(run, HEATMAPS, dataset, boxes, SHAPE, True)
    assert np.array_equal(plain[0].keypoints, flipped[0].keypoints)


def test_the_command_trains_scores_and_goes_on(warm, tiny_data, tmp_path):
    ARCH.save(tmp_path / "small-lpn.yaml")
    options = ("topdown.steps=2", "topdown.batch_size=2", "topdown.calibration=4", "topdown.images=2")
    data = ("data=crowdpose", f"data.root={tiny_data.root}", "data.workers=0", "threads=1")

    def command(*overrides):
        return warm.run("subnets.topdown", [*data, *overrides], tmp_path)

    done = command("arch=small-lpn.yaml", *options)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs/topdown/small-lpn/result.json").read_text())
    assert {"AP", "AP_hard"} <= set(result["stats"])
    folder = "runs/topdown/small-lpn/network"
    again = command(
        f"arch={folder}",
        "name=again",
        *("topdown.steps=0", "topdown.images=2", "topdown.batch_size=2"),
        "topdown.boxes=runs/topdown/small-lpn/detections.json",
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "runs/topdown/again/result.json").exists()
    refused = command("arch=litepose-xs", "name=no")
    assert refused.returncode == 2
    assert "litepose-xs is no top-down network" in refused.stderr
