"""The format int8: static INT8 quantisation of the ONNX file, calibrated on training images."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from supernet.errors import InputError
from supernet.runs.files import atomic_path

from ..portable.manifest import METADATA_KEY, Manifest
from ..portable.session import OnnxSession
from .formats import Floats, Format, Job
from .onnx_graph import ONNX, quiet, read_manifest

PER_CHANNEL = 13  # the opset whose QuantizeLinear takes an axis
# Transposed convolutions have no INT8 kernel in onnxruntime; converting to and fro around them only costs.
QUANTISED = ("Conv", "Clip", "Relu", "Add")


def quantise(source: Path, target: Path, images: Iterable[Floats], manifest: Manifest) -> None:
    """Write the INT8 form of the fp32 ONNX file `source` to `target`.

    Weights are INT8 per output channel, activations UINT8 per tensor with the ranges that `images` show
    (Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", CVPR 2018). The last convolution of every output stays fp32: heatmap peaks and tags are
    compared to fractions of their range.

    Args:
        source: with maps as outputs.
        target: to write.
        images: (1, 3, H, W) normalised training images, at least one.
        manifest: of `source`; the precision in the new file's metadata becomes `int8`.

    Raises:
        InputError: no images, or onnxruntime lacks its quantisation tools.
    """
    import onnx

    tools, shapes = _tools()
    batches = list(images)
    if not batches:
        raise InputError("INT8 needs training images to calibrate on; check data.root and data.train_split")
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared, quantised = Path(folder, "prepared.onnx"), Path(folder, "quantised.onnx")
        shapes.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        tools.quantize_static(
            str(prepared),
            str(quantised),
            _Reader(batches),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=output_nodes(onnx.load(prepared)),
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.MinMax,
        )
        model = onnx.load(quantised)
    # The quantiser declares domains of operators that it did not use; some converters refuse them.
    used = {node.domain for node in model.graph.node}
    for index in reversed(range(len(model.opset_import))):
        if model.opset_import[index].domain not in used:
            del model.opset_import[index]
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, replace(manifest, precision="int8").to_json()
    with atomic_path(target) as temporary:
        temporary.write_bytes(model.SerializeToString())


def output_nodes(model: Any) -> list[str]:
    """Names of the nodes between the graph's outputs and the last convolutions, those included."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found: list[str] = []
    waiting = [output.name for output in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found.append(node.name)
        if node.op_type != "Conv":
            waiting += node.input
    return found


class _Reader:
    """The images in the form in which onnxruntime's calibration asks for them."""

    def __init__(self, images: Iterable[Floats]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Floats] | None:
        """The next input, or None at the end."""
        images = next(self._images, None)
        return None if images is None else {"images": images}


def _tools() -> tuple[Any, Any]:
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization import shape_inference
    except ImportError as error:
        raise InputError(
            f"INT8 needs onnxruntime's quantisation tools ({error}); pip install onnx onnxruntime"
        ) from None
    return quantization, shape_inference


def write_int8(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """The ONNX file of the same folder in INT8."""
    if job.opset < PER_CHANNEL:
        raise InputError(f"export.opset={job.opset} has no INT8 per channel; use {PER_CHANNEL} or more")
    images = job.calibration()
    quantise(job.folder / ONNX.file, path, images, job.manifest)
    return (f"calibrated on {len(images)} training images",)


INT8 = Format(
    "int8",
    "model_int8.onnx",
    "onnxruntime",
    write_int8,
    OnnxSession,
    read_manifest,
    needs=("onnx",),
    precision="int8",
    peaks=False,
)
