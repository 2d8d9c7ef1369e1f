"""The formats torch_export and openvino: the network as a torch.export program, and converted from ONNX."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from supernet.errors import InputError
from supernet.family import step_of

from .formats import Floats, Format, Job, Run
from .onnx_graph import ONNX, example_input, read_manifest


def write_program(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """A torch.export program with the same free axes as the ONNX file."""
    example, dynamic = example_input(job.manifest.input_shape, step_of(job.net.arch))
    net = job.ended(job.fused)
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
        module = torch.export.load(path).module()
    except Exception as error:  # zip, pickle and version errors are all "not a program"
        line = " ".join(str(error).split())
        raise InputError(f"{path} is not a torch.export program ({line})") from None
    if threads is not None:
        torch.set_num_threads(threads)

    def run(images: Floats) -> list[Floats]:
        with torch.inference_mode():
            return [output.numpy() for output in module(torch.from_numpy(images))]

    return run


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise InputError("OpenVINO is not installed; pip install 'litepose-ofa[openvino]'") from None
    return openvino


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
        results = model([images])
        return [np.array(results[port]) for port in model.outputs]

    return run


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
