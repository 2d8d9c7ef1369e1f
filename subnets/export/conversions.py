"""The format fp16, and those of other runtimes on computers: torch_export and openvino."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from supernet.errors import InputError
from supernet.family import step_of
from supernet.runs.files import atomic_path

from ..portable.manifest import METADATA_KEY
from ..portable.session import OnnxSession
from .formats import Floats, Format, Job, Run, ended
from .onnx_graph import END, ONNX, example_input, quiet, read_manifest

# Of onnx.TensorProto.
FLOAT32, FLOAT16 = 1, 10


def write_fp16(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """The ONNX file of the same folder in half precision; its input, its outputs and peaks stay float32."""
    import onnx

    model = onnx.load(job.folder / ONNX.file)
    halve(model)
    (entry,) = (each for each in model.metadata_props if each.key == METADATA_KEY)
    entry.value = replace(job.manifest, precision="fp16").to_json()
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return ("input and outputs are float32",)


def halve(model: Any) -> None:
    """Make weights and arithmetic of an ONNX model half precision, up to its maps.

    Raises:
        InputError: a weight is beyond half precision's range.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    body = [node for node in graph.node if not node.name.startswith(END)]
    rest = [node for node in graph.node if node.name.startswith(END)]
    weights = _halved(body, model.opset_import[0].version)
    for item in graph.initializer:
        if item.name in weights and item.data_type == item.FLOAT:
            with np.errstate(over="ignore"):
                value = numpy_helper.to_array(item).astype(np.float16)
            if not np.isfinite(value).all():
                raise InputError(f"weights {item.name} are beyond the range of fp16; export without it")
            item.CopyFrom(numpy_helper.from_array(value, item.name))
    made = {name for node in body for name in node.output}
    needed = {output.name for output in graph.output} | {name for node in rest for name in node.input}
    casts = [
        helper.make_node("Cast", [f"{name}/fp16"], [name], name=f"{name}/to_fp32", to=FLOAT32)
        for name in sorted(made & needed)
    ]
    first = graph.input[0].name
    casts.insert(0, helper.make_node("Cast", [first], [f"{first}/fp16"], name=f"{first}/to_fp16", to=FLOAT16))
    for node in body:
        for names in (node.input, node.output):
            names[:] = [f"{name}/fp16" if name in made or name == first else name for name in names]
    del graph.node[:], graph.value_info[:]
    graph.node.extend([casts[0], *body, *casts[1:], *rest])


def _halved(nodes: Sequence[Any], opset: int) -> set[str]:
    """The inputs of `nodes` that have the type of their outputs; scales of a resize, say, have their own."""
    import onnx

    found = set()
    for node in nodes:
        schema = onnx.defs.get_schema(node.op_type, opset)
        for place, name in enumerate(node.input):
            parameter = schema.inputs[min(place, len(schema.inputs) - 1)]
            if parameter.type_str == schema.outputs[0].type_str:
                found.add(name)
    return found


def write_program(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """A torch.export program with the same free axes as the ONNX file."""
    example, dynamic = example_input(job.manifest.input_shape, step_of(job.net.arch))
    net = ended(job.fused, job.manifest)
    shapes = None if dynamic is None else (dynamic,)
    program = torch.export.export(net, (example,), dynamic_shapes=shapes)
    data = io.BytesIO()
    torch.export.save(program, data)
    path.write_bytes(data.getvalue())
    return ()


def open_program(path: Path, threads: int | None = None) -> Run:
    """The program that `write_program` wrote; `threads` holds for the whole process.

    Raises:
        InputError: the file is missing or no such program.
    """
    try:
        with quiet():
            module = torch.export.load(path).module()
    except Exception as error:  # zip, pickle and version errors are all "not a program"
        line = " ".join(str(error).split())
        raise InputError(f"{path} is not a torch.export program ({line})") from None
    if threads is not None:
        torch.set_num_threads(threads)

    def run(images: Floats) -> list[Floats]:
        try:
            with torch.inference_mode():
                return [output.numpy() for output in module(torch.from_numpy(images))]
        except Exception as error:  # guards of shapes raise what they like
            raise stopped(path, images, error) from None

    return run


def stopped(path: Path, images: Floats, error: Exception) -> InputError:
    line = " ".join(str(error).split())
    return InputError(f"{path} does not run on images of shape {images.shape} ({line})")


def package(name: str, label: str, extra: str) -> Any:
    """The module `name` of an optional package.

    Raises:
        InputError: it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{label} is not installed; pip install 'litepose-ofa[{extra}]'") from None


_openvino = partial(package, "openvino", "OpenVINO", "openvino")


def write_openvino(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """OpenVINO's two files, fp32, converted from the ONNX graph by OpenVINO itself."""
    openvino = _openvino()
    path.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(openvino.convert_model(job.folder / ONNX.file), path, compress_to_fp16=False)
    return ()


def open_openvino(path: Path, threads: int | None = None) -> Run:
    """The ONNX or OpenVINO (.xml) file `path` in OpenVINO on the CPU.

    Raises:
        InputError: OpenVINO is not installed, or it cannot read the file.
    """
    openvino = _openvino()
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        model = openvino.Core().compile_model(os.fspath(path), "CPU", settings)
    except RuntimeError as error:
        raise InputError(f"OpenVINO cannot read {path} ({' '.join(str(error).split())})") from None

    def run(images: Floats) -> list[Floats]:
        try:
            results = model([images])
        except RuntimeError as error:
            raise stopped(path, images, error) from None
        return [np.array(results[port]) for port in model.outputs]

    return run


FP16 = Format(
    "fp16",
    "model_fp16.onnx",
    "onnxruntime",
    write_fp16,
    OnnxSession,
    read_manifest,
    needs=("onnx",),
    precision="fp16",
)
TORCH_EXPORT = Format("torch_export", "model.pt2", "torch.export", write_program, open_program)
OPENVINO = Format(
    "openvino",
    "openvino/model.xml",
    "openvino",
    write_openvino,
    open_openvino,
    manifest=lambda path: read_manifest(path) if path.suffix == ".onnx" else None,
    reads=(".onnx", ".xml"),
    needs=("onnx",),
    packages=("openvino",),
    install="'litepose-ofa[openvino]'",
)
