"""Other forms of an ONNX file: older operator sets, half precision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from subnets import Subnet
from subnets.export.__main__ import run
from subnets.export.conversions import halve
from subnets.export.formats import OPSET, relative_difference
from subnets.export.onnx_graph import append_ending, ending, export_onnx, read_manifest, set_opset
from subnets.export.options import ExportCommand, ExportOptions
from subnets.network import fuse
from subnets.runtime import open_runtime
from supernet import InputError
from supernet.pose import Skeleton

SKELETON = Skeleton.load("crowdpose")
RNG = np.random.default_rng(0)
IMAGES = {"images": RNG.standard_normal((1, 3, 96, 128), dtype=np.float32)}
# The first form of file that has the operator set.
IR = {11: 6, 12: 7, 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8}


def computed(model: Any, given: Mapping[str, Any]) -> list[Any]:
    return list(onnxruntime.InferenceSession(model.SerializeToString()).run(None, given))


def check_every_opset(model: Any, given: Mapping[str, Any]) -> None:
    expected = computed(model, given)
    for opset in range(11, OPSET + 1):
        lowered = onnx.ModelProto()
        lowered.CopyFrom(model)
        set_opset(lowered, opset)
        onnx.checker.check_model(lowered, full_check=True)
        assert [(each.domain, each.version) for each in lowered.opset_import] == [("", opset)]
        assert lowered.ir_version == IR[opset]
        names = [node.name for node in lowered.graph.node]
        assert "" not in names
        assert len(set(names)) == len(names)
        assert "Constant" not in {node.op_type for node in lowered.graph.node}
        assert relative_difference(computed(lowered, given), expected) < 1e-5


def test_every_opset_computes_the_same_with_free_shapes(small_onnx: Path) -> None:
    manifest = replace(read_manifest(small_onnx), peaks=30)
    check_every_opset(append_ending(onnx.load(small_onnx), manifest), IMAGES)


def test_every_opset_computes_the_same_with_fixed_shapes(
    small_net: Subnet, small_onnx: Path, tmp_path: Path
) -> None:
    manifest = replace(read_manifest(small_onnx), peaks=5, input_shape=(96, 128))
    export_onnx(fuse(small_net), tmp_path / "model.onnx", manifest)
    model = onnx.load(tmp_path / "model.onnx")
    assert not {"Shape", "Split"} & {node.op_type for node in model.graph.node}
    check_every_opset(model, IMAGES)


def test_every_opset_computes_the_same_people() -> None:
    cells = RNG.standard_normal((1, 2 + 3 * SKELETON.num_joints, 12, 16)).astype(np.float32)
    check_every_opset(ending("onestage", 10, SKELETON), {"cells_map": cells})


def test_an_operator_that_an_opset_lacks_is_named(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    model.graph.node[-1].op_type = "BlackmanWindow"
    with pytest.raises(
        InputError, match=r"export.opset=16 does not do for this graph .*BlackmanWindow.*use 18"
    ):
        set_opset(model, 16)


@pytest.mark.parametrize("peaks", [0, 4])
def test_half_precision_keeps_its_input_and_outputs(small_folder: Path, tmp_path: Path, peaks: int) -> None:
    options = ExportOptions(peaks=peaks, opset=13, half=True, latency_rounds=0, bundle=False)
    folder = tmp_path / "out"
    run(ExportCommand(arch=str(small_folder), name="x", format=["onnx"], export=options), folder)
    model, whole = onnx.load(folder / "model_fp16.onnx"), onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert (folder / "model_fp16.onnx").stat().st_size < 0.8 * (folder / "model.onnx").stat().st_size
    assert {each.name: each.type for each in model.graph.input} == {
        each.name: each.type for each in whole.graph.input
    }
    weights = {each.name: each.data_type for each in model.graph.initializer}
    convolved = {weights[n.input[1]] for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose")}
    assert convolved == {onnx.TensorProto.FLOAT16}
    assert read_manifest(folder / "model_fp16.onnx").precision == "fp16"
    half, single = (open_runtime(folder / name, threads=1) for name in ("model_fp16.onnx", "model.onnx"))
    found, wanted = half(IMAGES["images"]), single(IMAGES["images"])
    assert {value.dtype for value in found} == {np.dtype(np.float32)}
    assert 0 < relative_difference(found[:1], wanted[:1]) < 0.02
    kept = {
        each["format"]: each["difference"]
        for each in json.loads((folder / "export.json").read_text())["formats"]
    }
    assert kept["onnx"] < 1e-5 < kept["fp16"] < 0.02
    assert f"| {kept['fp16']:.1e} |" in (folder / "card.md").read_text()


def test_weights_beyond_half_precision_are_named(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    item = model.graph.initializer[0]
    item.CopyFrom(onnx.numpy_helper.from_array(1e5 * onnx.numpy_helper.to_array(item) + 1e5, item.name))
    with pytest.raises(InputError, match=f"weights {item.name} are beyond the range of fp16"):
        halve(model)
