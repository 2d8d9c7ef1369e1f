"""Small networks with weights that find something, for tests of what is done with networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from subnets import Subnet, build, save
from subnets.export.bundle import WEB_PACKAGE, WEB_RUNTIME
from subnets.export.onnx_graph import export_onnx
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from supernet import Arch, Stage
from supernet.data.source import DataConfig
from supernet.data.synthetic.dataset import ensure
from supernet.data.synthetic.options import SyntheticOptions
from supernet.evaluation import calibrate_by
from supernet.pose import Skeleton


@pytest.fixture(scope="session", autouse=True)
def read_once() -> Iterator[None]:
    """torch reads the sources of all operators that it exports by, at every export; here once a process."""
    export: Callable[..., Any] = torch.onnx.export
    read: list[Callable[..., Any]] = []

    def exported(*args: Any, **settings: Any) -> Any:
        if not read:
            from torch.onnx._internal.exporter._registration import ONNXRegistry

            read.append(cache(ONNXRegistry.from_torchlib))
            ONNXRegistry.from_torchlib = staticmethod(read[0])  # type: ignore[assignment,method-assign]
        return export(*args, **settings)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(torch.onnx, "export", exported)
        yield


@pytest.fixture(scope="session")
def small_arch() -> Arch:
    """The smallest network that has every kind of layer, residuals and kernels included."""
    stages = (Stage(8, (3, 5), (4, 4)), Stage(16, (7,), (4,)), Stage(24, (3,), (4,)), Stage(40, (5,), (4,)))
    return Arch(96, 8, stages, (16, 16, 16))


@pytest.fixture(scope="session")
def small_net(small_arch: Arch) -> Subnet:
    """A network of `small_arch` with calibrated norms."""
    net = build(small_arch, num_joints=14, seed=3)
    net.skeleton = Skeleton.load("crowdpose")
    generator = torch.Generator().manual_seed(3)
    calibrate_by(net, net, [torch.randn(4, 3, 96, 96, generator=generator) for _ in range(2)])
    return net.eval()


@pytest.fixture(scope="session")
def small_folder(small_net: Subnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_net` as a folder."""
    folder = tmp_path_factory.mktemp("nets") / "small"
    save(small_net, folder, {"name": "small"})
    return folder


@pytest.fixture(scope="session")
def small_onnx(small_net: Subnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_net` as an ONNX file of free shape."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    skeleton = Skeleton.load("crowdpose")
    export_onnx(
        fuse(small_net), path, Manifest("small", 96, skeleton, step=16, arch=small_net.arch.to_dict())
    )
    return path


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    """A rendered data set of a dozen small images."""
    root = tmp_path_factory.mktemp("data") / "set"
    render = SyntheticOptions(train=4, val=2, test=5, size=96)
    ensure(root, render)
    return DataConfig(root=str(root), layout="synthetic", render=render, workers=0)


@pytest.fixture(scope="session")
def web_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the npm package of the format `web`."""
    package = tmp_path_factory.mktemp("npm") / WEB_PACKAGE
    (package / "dist").mkdir(parents=True)
    (package / "package.json").write_text('{"version": "1.99.0", "license": "MIT"}')
    for name in WEB_RUNTIME:
        (package / "dist" / name).write_text(name)
    return package
