"""INT8 files: calibrated, scored, their ends in fp32, and weights levelled before."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from subnets import Subnet
from subnets.export.__main__ import run
from subnets.export.exporting import calibration_images
from subnets.export.formats import relative_difference
from subnets.export.onnx_graph import export_onnx
from subnets.export.options import INT8_EXTENTS, ExportCommand, ExportOptions
from subnets.export.quantise import ConvGraph, level, output_nodes, quantise
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from subnets.portable.session import OnnxSession
from subnets.runtime import open_runtime
from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.pose import Skeleton


def test_int8_is_calibrated_scored_and_put_on_the_card(
    small_folder: Path, tiny_data: DataConfig, tmp_path: Path
) -> None:
    options = ExportOptions(latency_rounds=2, calibration_images=3, score_images=2, threads=1)
    folder = tmp_path / "out"
    run(
        ExportCommand(
            arch=str(small_folder), name="x", format=["onnx", "int8"], export=options, data=tiny_data
        ),
        folder,
    )
    session = OnnxSession(folder / "model_int8.onnx")
    assert session.require_manifest().precision == "int8"
    model = onnx.load(folder / "model_int8.onnx")
    assert [opset.domain for opset in model.opset_import] == [""]
    kinds = {node.op_type for node in model.graph.node}
    assert "DequantizeLinear" in kinds
    image = calibration_images(tiny_data, session.require_manifest(), options)[0]
    fp32 = open_runtime(folder / "model.onnx", "onnxruntime")(image)
    # Rough, but the same network: the outputs correlate.
    for found, wanted in zip(session(image), fp32, strict=True):
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.9
    card = (folder / "card.md").read_text()
    for text in (
        "# small",
        "calibrated on 3 rendered scenes; mixed; depthwise weights up to ",
        "INT8 (onnxruntime)",
        "picture.jpg",
        "AP_hard",
    ):
        assert text in card, text
    assert cv2.imread(str(folder / "picture.jpg")) is not None
    record = json.loads((folder / "export.json").read_text())
    assert [score["what"] for score in record["scores"]] == [
        "fp32 (torch)",
        "fp32 (onnxruntime)",
        "INT8 (onnxruntime)",
    ]
    assert [row["rounds"] for row in record["latency"]["milliseconds"]] == [2, 2, 2]


def test_an_opset_without_int8_per_channel_is_refused_before_any_work(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subnets.export.exporting.calibration_images", None)
    monkeypatch.setattr("subnets.export.onnx_graph.trace", None)
    options = ExportOptions(opset=11)
    command = ExportCommand(arch=str(small_folder), name="x", format=["int8"], export=options)
    with pytest.raises(InputError, match=r"export\.opset=11 has no INT8 per channel; use 13 or more"):
        run(command, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_ends_of_the_outputs_stay_fp32(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    kinds = [node.op_type for node in model.graph.node if node.name in output_nodes(model)]
    assert sorted(kinds) == ["Add", "Add", "Conv", "Conv", "Conv", "Conv"]


def test_levelling_brings_weights_together_and_keeps_the_network(small_net: Subnet, tmp_path: Path) -> None:
    images = [np.random.default_rng(0).standard_normal((1, 3, 64, 96), dtype=np.float32) for _ in range(2)]
    net = fuse(small_net)
    expand, depthwise = (net.unit(f"stages.0.1.{part}").conv for part in ("expand", "depthwise"))
    with torch.no_grad():  # two channels that hardly move, as batch norms magnify them when they are folded
        expand.weight[:2] *= 1e-5
        expand.bias[:2] = 0
        depthwise.weight[:2] *= 1000
    export_onnx(net, tmp_path / "plain.onnx", Manifest("small", 96, Skeleton.load("crowdpose"), step=16))
    graph = ConvGraph(onnx.load(tmp_path / "plain.onnx"))
    assert graph.spread() > 300
    assert level(graph, images) >= 2
    assert graph.spread() < 30
    onnx.save(graph.store(), tmp_path / "levelled.onnx")
    plain, levelled = (open_runtime(tmp_path / f"{name}.onnx", threads=1) for name in ("plain", "levelled"))
    assert relative_difference(levelled(images[0]), plain(images[0])) < 0.1
    manifest, far = Manifest("small", 96, Skeleton.load("crowdpose"), step=16), {}
    for extent in INT8_EXTENTS:
        for name in ("plain", "levelled"):
            target = tmp_path / "int8.onnx"
            quantise(tmp_path / f"{name}.onnx", target, images, manifest, extent)
            far[extent, name] = relative_difference(open_runtime(target)(images[0]), plain(images[0]))
        model = onnx.load(target)
        floats = {item.name for item in model.graph.initializer if item.data_type == onnx.TensorProto.FLOAT}
        transposed = [node.input[1] in floats for node in model.graph.node if node.op_type == "ConvTranspose"]
        assert set(transposed) == {extent == "mixed"}
    assert far["tensor", "levelled"] < 0.3 * far["tensor", "plain"]
