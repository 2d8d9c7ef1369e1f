"""Longer trainings of the same run, and runs that start from another supernet's weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from supernet import InputError, SearchSpace, Supernet
from supernet.pose.skeletons import Skeleton
from supernet.runs.log import read_log
from supernet.runs.snapshot import read_snapshot
from supernet.training.checkpoint import TrainedSupernet, load_supernet, take_over
from supernet.training.distributed import Ranks
from supernet.training.job import TrainingJob, train_supernet
from supernet.training.options import (
    CheckpointOptions,
    OptimizerOptions,
    SamplingOptions,
    TrainOptions,
    ValidationOptions,
)
from supernet.training.state import learning_rate

OPTIONS = TrainOptions(
    steps=4,
    batch_size=2,
    log_every=2,
    sampling=SamplingOptions(random=0),
    optimizer=OptimizerOptions(lr=1e-2, warmup=1, ema=0.0),
    checkpoint=CheckpointOptions(every=2),
    validation=ValidationOptions(every=0),
)
STAGE = {"width": [4, 8], "depth": [1, 2], "kernel": [3, 5], "expansion": [2]}
CROWDPOSE = Skeleton.load("crowdpose")


def spread(**changes):
    """The minute space with other choices."""
    plain = {"schema": 1, "name": "other", "resolution": [32, 64], "stem": [4, 8]}
    plain |= {"stages": [STAGE] * 4, "head": [[4, 8], [4, 8], [4, 8]]}
    return SearchSpace.from_dict(plain | changes)


@pytest.fixture(scope="module")
def start(data, space):
    def run(folder, options=OPTIONS, init=None, where=space):
        job = TrainingJob(folder, data, options, seed=0, ranks=Ranks(torch.device("cpu")))
        return train_supernet(job, where, init)

    return run


@pytest.fixture(scope="module")
def run(start, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    start(folder)
    return folder


def test_more_steps_go_on_by_a_schedule_laid_out_anew(start, run, tmp_path, capsys):
    import shutil

    folder = shutil.copytree(run, tmp_path / "run")
    longer = replace(OPTIONS, steps=8)
    start(folder, longer)
    told = capsys.readouterr().err
    old, new = (learning_rate(OPTIONS.optimizer, 4, total) for total in (4, 8))
    assert f"8 steps instead of 4: the learning rate is laid out anew, at step 5 {new:.3g} instead of" in told
    assert old < new
    lines = read_log(folder / "log.jsonl")
    assert [line["step"] for line in lines] == [2, 4, 6, 8]
    assert lines[-1]["lr"] == learning_rate(OPTIONS.optimizer, 7, 8)
    start(folder, longer)
    assert "laid out anew" not in capsys.readouterr().err
    with pytest.raises(InputError, match=r"is to have 8 steps.*4 are fewer: train\.steps can only be raised"):
        start(folder, OPTIONS)


def test_a_run_starts_from_the_weights_of_another(start, run, tmp_path, capsys):
    source = load_supernet(run)
    assert source.skeleton == CROWDPOSE
    frozen = replace(OPTIONS, steps=1, optimizer=OptimizerOptions(lr=0.0, ema=0.0, weight_decay=0.0))
    start(tmp_path / "run", frozen, str(run))
    count = len(list(source.net.parameters()))
    assert f"{count} of {count} tensors as they are, 0 in part" in capsys.readouterr().err
    found = read_snapshot(tmp_path / "run/checkpoints/step-000000001.safetensors").part("model")
    assert all(torch.equal(found[name], value) for name, value in source.net.named_parameters())
    # A second start goes on and looks at the source no more.
    start(tmp_path / "run", replace(frozen, steps=2), "gone")


def test_a_family_or_run_that_is_not_there_is_refused(start, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        start(tmp_path / "run", OPTIONS, str(tmp_path / "none"))


def trained(space, joints=CROWDPOSE, seed=3):
    net = Supernet(space, joints.num_joints, seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "transforms" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return TrainedSupernet(net.eval(), space, {}, 1, "there", joints)


def test_a_larger_kernel_and_more_channels_give_the_same_subnet(space):
    source = trained(space)
    stage = {**STAGE, "kernel": [3, 5, 7], "width": [4, 8, 12]}
    large = spread(stages=[stage] * 4)
    net = Supernet(large, 14, seed=9).eval()
    told = take_over(net, source, CROWDPOSE)
    assert ", 0 new" not in told, "the transforms from 7 to 5 are new"
    images = torch.randn(2, 3, 64, 64)
    for arch in (space.largest(), space.smallest()):
        for ours, theirs in zip(net(images, arch), source.net(images, arch), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_smaller_space_keeps_its_subnets(space):
    source = trained(space)
    small = spread(stages=[{**STAGE, "kernel": [3], "width": [4]}] * 4)
    net = Supernet(small, 14, seed=9).eval()
    take_over(net, source, CROWDPOSE)
    images = torch.randn(2, 3, 64, 64)
    for ours, theirs in zip(net(images, small.largest()), source.net(images, small.largest()), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("other", ["coco", "crowdpose"])
def test_other_joints_start_their_maps_anew(space, other):
    joints = Skeleton.load(other)
    if other == "crowdpose":
        joints = replace(joints, joints=tuple(f"my_{name}" for name in joints.joints))
    source = trained(space)
    net = Supernet(space, joints.num_joints, seed=9)
    before = {name: value.clone() for name, value in net.named_parameters()}
    told = take_over(net, source, joints)
    anew = {name for name, value in net.named_parameters() if torch.equal(before[name], value)}
    theirs = dict(source.net.named_parameters())
    new = {name for name in anew if not torch.equal(before[name], theirs.get(name, torch.zeros(0)))}
    assert len(new) == 4, "the last layers of two outputs, of the refined and the raw map"
    assert all(name.endswith("project.conv.weight") and name.startswith("head.") for name in new)
    assert "4 new" in told
