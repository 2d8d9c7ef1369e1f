"""Supernets that ship: half-precision weights, subnets with statistics of their own, found by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from subnets.console import SourceOptions
from subnets.finetune.__main__ import FinetuneCommand
from subnets.network import extract
from subnets.predict.__main__ import PredictCommand, run
from subnets.source import open_source
from supernet import InputError, SearchSpace, Supernet
from supernet.data.source import DataConfig, ensure_data
from supernet.data.synthetic.options import SyntheticOptions
from supernet.evaluation import calibrate
from supernet.pose import Skeleton
from supernet.runs.snapshot import Snapshot, read_snapshot, write_snapshot
from supernet.training import shipped
from supernet.training.checkpoint import load_supernet, supernet_about, take_over
from supernet.training.shipped import pack

STAGE = {"width": [4, 8], "depth": [1, 2], "kernel": [3, 5], "expansion": [2]}
HEAD = [[4, 8]] * 3
SPACE = SearchSpace.from_dict(
    {"name": "micro", "resolution": [32, 64], "stem": [4, 8], "stages": [STAGE] * 4, "head": HEAD}
)
ARCHS = {"all": replace(SPACE.largest(), resolution=32), "little": SPACE.smallest()}


def images(side: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(side)
    return [torch.randn(2, 3, side, side, generator=generator) for _ in range(2)]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a package in which `toy` ships."""
    folder = tmp_path_factory.mktemp("box")
    net = Supernet(SPACE, 14, seed=3)
    net.skeleton = Skeleton.load("crowdpose")
    about = {**supernet_about(net), "step": 7, "config": {"space": "micro"}}
    known = {"all": {"scores": {"AP": 0.5}}}
    snapshot = pack(net, ARCHS, {32: images(32)}, about, known)
    write_snapshot(folder / "toy.safetensors", snapshot)
    return folder


@pytest.fixture
def toy(box: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shipped, "shipped_folder", lambda: box)
    return box / "toy.safetensors"


def test_a_name_gives_the_subnets_that_were_packed(toy: Path) -> None:
    """Bit for bit what rounding the weights, calibrating and extracting gives."""
    with torch.no_grad():
        net = Supernet(SPACE, 14, seed=3)
        for parameter in net.parameters():
            parameter.copy_(parameter.half())
    for name, given in (("all", "toy"), ("little", "toy:little")):
        arch = ARCHS[name]
        calibrate(net, arch, images(arch.resolution))
        wanted = extract(net, arch).eval().state_dict()
        opened = open_source(given)
        found = opened.require_trained().require_net().state_dict()
        assert (opened.name, opened.arch) == (f"toy-{name}", arch)
        assert all(torch.equal(found[key], value) for key, value in wanted.items())
    about = open_source("toy").about
    assert (about["scores"], about["supernet"]) == ({"AP": 0.5}, "toy"), "no path of this machine"
    assert open_source("little", SourceOptions(supernet="toy")).arch == ARCHS["little"]
    # One that equals a kept subnet needs no images either.
    assert open_source("smallest", SourceOptions(supernet="toy")).name == "toy-little"
    halves = [v.dtype for v in read_snapshot(toy).part("model").values()]
    assert set(halves) == {torch.float16}


def test_another_subnet_needs_images(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"statistics it keeps: all, little"):
        open_source("largest", SourceOptions(supernet="toy"))
    given = DataConfig(root=str(tmp_path / "set"))
    render = SyntheticOptions(train=4, val=2, test=2, size=64)
    rendered = replace(given, layout="synthetic", render=render)
    ensure_data(rendered)
    # Those that a command renders by itself are no photographs, those that are given may be anything.
    with pytest.raises(InputError, match="statistics it keeps"):
        open_source("largest", FinetuneCommand(supernet="toy", data=rendered))
    opened = open_source("largest", FinetuneCommand(supernet="toy", data=given))
    assert opened.arch == SPACE.largest()


@pytest.mark.parametrize(
    ("arch", "options", "line"),
    [
        ("toy:big", {}, "has no subnet 'big'; it has all, little"),
        ("toy", {"supernet": "toy"}, "has weights of its own"),
        ("all", {"supernet": "none"}, r"does not exist.*ships \(toy\)"),
    ],
)
def test_what_is_not_there_is_one_line(toy: Path, arch: str, options: dict[str, str], line: str) -> None:
    with pytest.raises(InputError, match=line):
        open_source(arch, SourceOptions(**options))


def test_a_run_of_the_same_name_comes_first(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/train/toy").mkdir(parents=True)
    with pytest.raises(InputError, match="has no checkpoint"):
        load_supernet("toy")


@pytest.mark.parametrize("damage", ["statistics", "arch", "entry"])
def test_subnets_that_do_not_fit_are_refused(toy: Path, tmp_path: Path, damage: str) -> None:
    whole = read_snapshot(toy)
    tensors, meta = dict(whole.tensors), json.loads(json.dumps(dict(whole.meta)))
    if damage == "statistics":
        tensors = {name: v[:1] if name.startswith("subnet.all.") else v for name, v in tensors.items()}
    elif damage == "arch":
        meta["subnets"][0]["arch"]["stem"] = 5
    else:
        meta["subnets"] = ["all"]
    write_snapshot(tmp_path / "bad.safetensors", Snapshot(tensors, meta))
    with pytest.raises(InputError, match=r"bad\.safetensors: "):
        load_supernet(tmp_path / "bad.safetensors")


def test_other_joints_start_from_it_with_all_but_their_maps(toy: Path) -> None:
    coco = Skeleton.load("coco")
    net = Supernet(SPACE, 17, seed=1)
    assert "4 new" in take_over(net, load_supernet("toy"), coco)


def test_predict_finds_the_network_by_name(toy: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.jpg"), np.random.default_rng(0).integers(0, 255, (80, 64, 3), np.uint8))
    run(PredictCommand(source=str(tmp_path / "photo.jpg"), arch="toy", threads=1), tmp_path / "out")
    assert (tmp_path / "out/predictions.json").is_file()
