"""`subnets.benchmark`: the MACs and the input that are told are those of what was timed."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from subnets import Subnet
from subnets.benchmark.__main__ import run
from subnets.benchmark.options import BenchmarkCommand, BenchmarkOptions
from subnets.costs import CostsCommand
from subnets.export.onnx_graph import export_onnx
from subnets.families.static import StaticArch
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from supernet import Arch, InputError
from supernet.cost import count_macs
from supernet.pose import Skeleton

SETTINGS = {"widths": [4, 4, 4, 4], "blocks": [[0] * n for n in (2, 3, 4)], "modules": [1] * 3, "head": 4}


def measured(folder: Path, arch: str, runtime: str = "torch", **options: object) -> dict:
    """The one row of a benchmark."""
    settings = BenchmarkOptions(rounds=1, warmup=0, **options)
    run(BenchmarkCommand(arch=arch, runtime=runtime, threads=1, benchmark=settings), folder)
    (row,) = json.loads((folder / "results.json").read_text())["rows"]
    return row


def test_another_input_has_its_own_macs(small_folder: Path, small_arch: Arch, tmp_path: Path) -> None:
    own = measured(tmp_path / "own", str(small_folder))
    assert (own["input_shape"], own["macs"]) == ([96, 96], count_macs(small_arch))
    other = measured(tmp_path / "other", str(small_folder), input_shape=[64, 128])
    assert (other["input_shape"], other["macs"]) == ([64, 128], count_macs(small_arch, input_shape=(64, 128)))


def test_a_picture_is_told_with_the_input_that_it_makes(
    small_folder: Path, small_arch: Arch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((60, 80, 3), np.uint8))
    row = measured(tmp_path / "run", str(small_folder), image=str(tmp_path / "wide.png"))
    assert (row["input_shape"], row["macs"]) == ([96, 128], count_macs(small_arch, input_shape=(96, 128)))
    assert "96 x 128" in capsys.readouterr().out


def test_shapes_that_a_network_cannot_take_are_refused_before_measuring(
    small_net: Subnet, tmp_path: Path
) -> None:
    StaticArch("higherhrnet", (64, 64), SETTINGS).save(tmp_path / "hrnet.yaml")
    with pytest.raises(InputError, match=r"input_shape=\[80, 80\] must be two multiples of 32"):
        measured(tmp_path / "run", str(tmp_path / "hrnet.yaml"), input_shape=[80, 80])
    fixed = Manifest("m", 96, Skeleton.load("crowdpose"), (96, 96), arch=small_net.arch.to_dict())
    export_onnx(fuse(small_net), tmp_path / "fixed.onnx", fixed)
    with pytest.raises(InputError, match=r"input_shape=\[64, 64\]: the exported .* takes \[96, 96\] only"):
        measured(tmp_path / "run", str(tmp_path / "fixed.onnx"), "onnxruntime", input_shape=[64, 64])
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_in_the_end_leaves_no_results(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("subnets.benchmark.benchmarking.draw", full)
        with pytest.raises(OSError, match="No space"):
            measured(tmp_path / "run", str(small_folder))
    measured(tmp_path / "run", str(small_folder))
    made = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert made == ["config.yaml", "results.json", "results.png"]


@pytest.mark.parametrize("shape", [(0, 0), (-32, 32), (40, 32)])
def test_costs_of_impossible_inputs_are_refused(shape: tuple[int, int]) -> None:
    arch = StaticArch("higherhrnet", (64, 64), SETTINGS)
    with pytest.raises(InputError, match="must be two multiples of 32"):
        count_macs(arch, 14, input_shape=shape)
    with pytest.raises(InputError, match="multiples of 16"):
        count_macs(Arch.load("litepose-xs"), 14, input_shape=shape)


def test_costs_without_joints_are_refused() -> None:
    with pytest.raises(InputError, match="num_joints=0 is not between 1 and 1024"):
        CostsCommand(num_joints=0)
    with pytest.raises(InputError, match=r"input_shape=\[32\] is not \[height, width\]"):
        CostsCommand(input_shape=[32])
