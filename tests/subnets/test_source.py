"""What `arch=` leads to, and the lines for what leads nowhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from subnets import Subnet
from subnets.console import SourceOptions, distinct_slugs, slug
from subnets.source import open_source
from supernet import Arch, InputError
from supernet.pose import Skeleton


def test_a_folder_gives_its_network(small_net: Subnet, small_folder: Path) -> None:
    opened = open_source(str(small_folder))
    assert (opened.name, opened.arch, opened.trained) == ("small", small_net.arch, True)
    state = opened.require_net().state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in small_net.state_dict().items())


def test_a_search_result_is_found_by_its_budget(small_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(small_folder, tmp_path / "run" / "subnets" / "low")
    opened = open_source(f"{tmp_path}/run:low")
    assert opened.arch == open_source(str(small_folder)).arch
    with pytest.raises(InputError, match="has no subnet 'high'; it has low"):
        open_source(f"{tmp_path}/run:high")
    with pytest.raises(InputError, match=r"is a search run; choose a subnet: .*run:low"):
        open_source(f"{tmp_path}/run")
    with pytest.raises(InputError, match="is no search run with results"):
        open_source(f"{tmp_path}/nowhere:low")


def test_a_file_has_random_weights_and_is_refused_where_they_matter(small_arch: Arch, tmp_path: Path) -> None:
    small_arch.save(tmp_path / "a.yaml")
    opened = open_source(str(tmp_path / "a.yaml"))
    assert (opened.name, opened.arch, opened.trained) == ("a", small_arch, False)
    with pytest.raises(InputError, match="a has random weights; give weights=FILE"):
        opened.require_trained()
    again = open_source(str(tmp_path / "a.yaml")).require_net().state_dict()
    assert all(torch.equal(again[name], value) for name, value in opened.require_net().state_dict().items())


def test_random_weights_do_not_magnify_rounding(small_arch: Arch, tmp_path: Path) -> None:
    small_arch.save(tmp_path / "a.yaml")
    net = open_source(str(tmp_path / "a.yaml")).require_net()
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        single, double = net(images)[0], net.double()(images.double())[0]
    assert (single - double).abs().max() < 1e-5 * double.abs().max()


def test_an_onnx_file_gives_what_it_says(small_net: Subnet, small_onnx: Path) -> None:
    opened = open_source(str(small_onnx))
    expected = ("small", small_net.arch, Skeleton.load("crowdpose"), {"onnx": small_onnx})
    assert (opened.name, opened.arch, opened.skeleton, opened.files) == expected
    with pytest.raises(InputError, match="is an exported file; this needs the network's folder"):
        opened.require_net()


def test_sources_of_weights_exclude_each_other(small_folder: Path) -> None:
    with pytest.raises(InputError, match="choose one"):
        open_source("litepose-xs", SourceOptions(weights="a.pth", supernet="run"))
    with pytest.raises(InputError, match="has weights of its own"):
        open_source(str(small_folder), SourceOptions(weights="a.pth"))


def test_a_joint_layout_that_contradicts_the_network_is_refused(
    small_folder: Path, small_onnx: Path, tmp_path: Path
) -> None:
    for network in (small_folder, small_onnx):
        assert open_source(str(network), SourceOptions(skeleton="crowdpose")).skeleton.name == "crowdpose"
        with pytest.raises(
            InputError, match=r"skeleton=coco differs in joints, .* that small has, 'crowdpose'"
        ):
            open_source(str(network), SourceOptions(skeleton="coco"))
    # One that says none takes what is given.
    network = shutil.copytree(small_folder, tmp_path / "net")
    meta = json.loads((network / "meta.json").read_text())
    (network / "meta.json").write_text(json.dumps({**meta, "skeleton": None}))
    with pytest.raises(InputError, match="does not name its 14 joints; give skeleton="):
        open_source(str(network))
    with pytest.raises(InputError, match="finds 14 joints, skeleton 'coco' names 17"):
        open_source(str(network), SourceOptions(skeleton="coco"))
    assert open_source(str(network), SourceOptions(skeleton="crowdpose")).skeleton.name == "crowdpose"


def test_nothing_of_that_name() -> None:
    with pytest.raises(InputError, match="'litepose-xxl' is neither a file nor a name"):
        open_source("litepose-xxl")


@pytest.mark.parametrize(
    ("arch", "name"),
    [
        ("litepose-xs", "litepose-xs"),
        ("runs/search/demo:low", "demo-low"),
        ("nets/a.onnx", "a"),
        ("runs/export/mine/model.onnx", "mine"),
        ("runs/export/mine/model_int8.onnx", "mine-int8"),
        ("runs/export/mine/model.pt2", "mine"),
        ("runs/export/mine/model_small.npz", "mine-small"),
        ("model.pt2", "model.pt2"),
        ("b.yaml", "b"),
        (["litepose-xs", "runs/search/demo:low"], "litepose-xs_demo-low"),
        ("..", "9608161c"),
    ],
)
def test_slug(arch: str | list[str], name: str) -> None:
    assert slug(arch) == name


def test_slug_of_a_file_in_a_formats_own_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "openvino").mkdir(parents=True)
        (tmp_path / name / "meta.json").touch()
    files = [f"{tmp_path}/{name}/openvino/model.xml" for name in ("a", "b")]
    assert distinct_slugs(files) == ["a", "b"]
