"""Runtimes: the same numbers behind one call, and clear lines for what cannot be opened."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from subnets import Subnet
from subnets.export.formats import FORMATS, Format, relative_difference
from subnets.portable.manifest import Manifest
from subnets.runtime import open_runtime
from supernet import InputError
from supernet.pose import Skeleton


def test_torch_runtime_gives_the_networks_outputs(small_net: Subnet) -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 64, 96), dtype=np.float32)
    with torch.no_grad():
        expected = [output.numpy() for output in small_net(torch.from_numpy(images))]
    small_net.train()
    outputs = open_runtime(small_net)(images)
    assert small_net.training
    small_net.eval()
    assert [output.dtype for output in outputs] == [np.float32, np.float32]
    assert relative_difference(outputs, expected) < 1e-5


def test_onnxruntime_takes_any_batch_and_size(small_net: Subnet, small_onnx: Path) -> None:
    run, reference = open_runtime(small_onnx, "onnxruntime", threads=1), open_runtime(small_net)
    rng = np.random.default_rng(1)
    for shape in ((1, 3, 96, 96), (3, 3, 64, 128), (1, 3, 160, 32), (1, 3, 112, 80)):
        images = rng.standard_normal(shape, dtype=np.float32)
        assert relative_difference(run(images), reference(images)) < 1e-4, shape


def test_unknown_kind_and_threads_are_refused(small_net: Subnet) -> None:
    with pytest.raises(InputError, match="runtime 'tvm' is not known; choose one of torch, onnxruntime"):
        open_runtime(small_net, "tvm")
    with pytest.raises(InputError, match="threads=0 must be 1 or more"):
        open_runtime(small_net, threads=0)


def test_formats_that_share_a_runtime_open_their_own_files(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, str, int | None]] = []

    def other(name: str, file: str, **more: Any) -> Format:
        def take(path: Path, threads: int | None) -> Any:
            opened.append((name, path.name, threads))

        return Format(name, file, "onnxruntime", lambda *_: (), take, **more)

    items = {
        "ort": other("ort", "model.ort"),
        "many": other("many", "many/model.zoo", reads=(".zoo", ".zip")),
    }
    monkeypatch.setattr(FORMATS, "_items", {**FORMATS._items, **items})
    for file in ("model.ort", "mine.ort", "model.zoo", "mine.zip"):
        open_runtime(file, "onnxruntime", threads=1)
        open_runtime(file)
    kinds = [("ort", "model.ort"), ("ort", "mine.ort"), ("many", "model.zoo"), ("many", "mine.zip")]
    assert opened == [(*kind, threads) for kind in kinds for threads in (1, None)]
    with pytest.raises(
        InputError,
        match=r"model\.pt2 .*runtime=onnxruntime runs \(onnx, fp16, levelled, int8, web, ort, many\)",
    ):
        open_runtime("model.pt2", "onnxruntime")


def test_missing_and_broken_small_onnxs_are_named(small_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_runtime(tmp_path / "none.onnx", "onnxruntime")
    broken = tmp_path / "broken.onnx"
    data = small_onnx.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"broken\.onnx is not an ONNX model"):
        open_runtime(broken, "onnxruntime")


def test_a_broken_program_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"broken\.pt2 is not a torch\.export program"):
        open_runtime(broken, "torch.export")


def test_a_missing_openvino_is_named(small_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(
        InputError, match=r"OpenVINO is not installed; pip install 'litepose-ofa\[openvino\]'"
    ):
        open_runtime(small_onnx, "openvino")


def test_metadata_survives_the_file(small_onnx: Path) -> None:
    manifest = open_runtime(small_onnx, "onnxruntime").manifest  # type: ignore[attr-defined]
    assert (manifest.name, manifest.resolution, manifest.input_shape) == ("small", 96, None)
    assert manifest.skeleton == Skeleton.load("crowdpose")


def test_small_onnxs_name_no_path_of_the_machine(small_onnx: Path) -> None:
    data = small_onnx.read_bytes()
    assert str(Path(__file__).resolve().parents[2]).encode() not in data
    assert b"site-packages" not in data


@pytest.mark.parametrize(
    ("found", "wanted", "difference"),
    [
        ([np.array([1.0, 2.0])], [np.array([1.0, 4.0])], 0.5),
        ([np.zeros(2), np.array([3.0])], [np.zeros(2), np.array([2.0])], 0.5),
        ([np.zeros(2)], [np.zeros(3)], np.inf),
        ([np.array([np.nan])], [np.array([1.0])], np.inf),
    ],
)
def test_relative_difference(found: list[np.ndarray], wanted: list[np.ndarray], difference: float) -> None:
    assert relative_difference(found, wanted) == difference  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("peaks", -math.inf, "peaks: expected an integer, found -inf"),
        ("peaks", -5, "peaks: -5 is not between 1 and 65536"),
        ("resolution", 10**30, "is not between 1 and 65536"),
        ("input_shape", [64, 0.5], "input_shape: expected an integer, found 0.5"),
        ("arch", 5, "its metadata is not readable"),
    ],
)
def test_damaged_metadata_is_named(key: str, value: object, message: str) -> None:
    text = Manifest("small", 96, Skeleton.load("crowdpose"), arch={}).to_json()
    with pytest.raises(InputError, match=f"^a file: .*{message}"):
        Manifest.from_json(json.dumps({**json.loads(text), key: value}), "a file")
