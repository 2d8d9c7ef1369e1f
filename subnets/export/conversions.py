"""Formats of other runtimes: torch_export, openvino, tflite and executorch, the last two also in INT8."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from supernet.errors import InputError
from supernet.family import step_of
from supernet.runs.reading import read_bytes

from .formats import Floats, Format, Job, Run, ended
from .onnx_graph import ONNX, example_input, quiet, read_manifest


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


def _package(name: str, label: str, extra: str) -> Any:
    """The module `name` of an optional package.

    Raises:
        InputError: it is not installed.
    """
    try:
        with quiet():
            return importlib.import_module(name)
    except ImportError:
        raise InputError(f"{label} is not installed; pip install 'litepose-ofa[{extra}]'") from None


_openvino = partial(_package, "openvino", "OpenVINO", "openvino")
_litert = partial(_package, label="LiteRT", extra="tflite")
_executorch = partial(_package, label="ExecuTorch", extra="executorch")


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


def write_tflite(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """A TFLite file by litert-torch, fp32; input and outputs as in torch, channels first."""
    converter = _litert("litert_torch")
    example, _ = example_input(job.manifest.input_shape, step_of(job.net.arch))
    with quiet():
        converter.convert(job.fused, (example,)).export(os.fspath(path))
    return ()


def write_tflite_int8(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """The TFLite file of the same folder in integers alone, weights with a scale per channel."""
    quantizer, recipe = (_litert(f"ai_edge_quantizer.{name}") for name in ("quantizer", "recipe"))
    images = job.calibration()
    with quiet():
        quantising = quantizer.Quantizer(os.fspath(job.folder / TFLITE.file), recipe.static_wi8_ai8())
        (signature,) = _interpreter(job.folder / TFLITE.file, 1).get_signature_list().items()
        name, (given,) = signature[0], signature[1]["inputs"]
        seen = quantising.calibrate({name: [{given: each} for each in images]})
        quantising.quantize(seen).export_model(os.fspath(path), overwrite=True)
    return (f"calibrated on {len(images)} training images", "input and outputs are integers, too")


def _interpreter(path: Path, threads: int | None) -> Any:
    """A TFLite file, ready to run.

    Raises:
        InputError: LiteRT is not installed, or the file is missing or none of its.
    """
    kind = _litert("ai_edge_litert.interpreter").Interpreter
    try:
        with quiet():
            interpreter = kind(os.fspath(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise InputError(f"{path} is not a TFLite file ({' '.join(str(error).split())})") from None
    return interpreter


def open_tflite(path: Path, threads: int | None = None) -> Run:
    """The TFLite file `path`, whatever wrote it: images may be channels last in it, its numbers integers.

    Raises:
        InputError: LiteRT is not installed, or the file is missing or none of its.
    """
    interpreter = _interpreter(path, threads)
    (given,), outputs = interpreter.get_input_details(), interpreter.get_output_details()
    order = [name for each in interpreter.get_signature_list().values() for name in each["outputs"]]
    if len(order) == len(outputs):
        (key,) = interpreter.get_signature_list()
        known = interpreter.get_signature_runner(key).get_output_details()
        outputs = [known[name] for name in sorted(order, key=lambda name: (len(name), name))]
    shape = tuple(given["shape"])
    last = shape[-1] == 3 and shape[1] != 3

    def run(images: Floats) -> list[Floats]:
        value = images.transpose(0, 2, 3, 1) if last else images
        if value.shape != shape:
            raise InputError(f"{path} takes images of shape {shape}, none of {value.shape}")
        interpreter.set_tensor(given["index"], _to_integers(value, given))
        interpreter.invoke()
        return [_from_integers(interpreter.get_tensor(each["index"]), each) for each in outputs]

    return run


def _to_integers(value: Floats, about: Mapping[str, Any]) -> Any:
    scale, zero = about["quantization"]
    if about["dtype"] == np.float32 or not scale:
        return value.astype(about["dtype"])
    limits = np.iinfo(about["dtype"])
    return np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(about["dtype"])


def _from_integers(value: Any, about: Mapping[str, Any]) -> Floats:
    scale, zero = about["quantization"]
    if value.dtype == np.float32 or not scale:
        return np.array(value, np.float32)
    floats: Floats = (value.astype(np.float32) - zero) * np.float32(scale)
    return floats


def write_executorch(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """An ExecuTorch program for XNNPACK, fp32."""
    example, _ = example_input(job.manifest.input_shape, step_of(job.net.arch))
    with quiet():
        _write_executorch(torch.export.export(job.fused, (example,)), path)
    return ()


def write_executorch_int8(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """An ExecuTorch program for XNNPACK in INT8, weights with a scale per channel."""
    xnnpack = _executorch("executorch.backends.xnnpack.quantizer.xnnpack_quantizer")
    pt2e = _executorch("torchao.quantization.pt2e.quantize_pt2e")
    images = job.calibration()
    example, _ = example_input(job.manifest.input_shape, step_of(job.net.arch))
    scheme = xnnpack.get_symmetric_quantization_config(is_per_channel=True)
    with quiet(), torch.inference_mode():
        program = torch.export.export(job.fused, (example,)).module()
        observed = pt2e.prepare_pt2e(program, xnnpack.XNNPACKQuantizer().set_global(scheme))
        for each in images:
            observed(torch.from_numpy(each))
        _write_executorch(torch.export.export(pt2e.convert_pt2e(observed), (example,)), path)
    return (f"calibrated on {len(images)} training images",)


def _write_executorch(program: Any, path: Path) -> None:
    exir = _executorch("executorch.exir")
    xnnpack = _executorch("executorch.backends.xnnpack.partition.xnnpack_partitioner")
    lowered = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
    path.write_bytes(lowered.to_executorch().buffer)


def open_executorch(path: Path, threads: int | None = None) -> Run:
    """The ExecuTorch program `path`; `threads` holds for the whole process.

    Raises:
        InputError: ExecuTorch is not installed, or the file is missing or no such program.
    """
    runtime = _executorch("executorch.runtime").Runtime.get()
    if threads is not None:
        _executorch("executorch.extension.pybindings.portable_lib")._unsafe_reset_threadpool(threads)
    data = read_bytes(path)
    try:
        program = runtime.load_program(data)
        method = program.load_method("forward")
    except RuntimeError as error:
        raise InputError(f"{path} is not an ExecuTorch program ({' '.join(str(error).split())})") from None

    # The method reads the others without holding them.
    def run(images: Floats, held: Any = (data, program)) -> list[Floats]:
        try:
            return [np.array(value) for value in method.execute([torch.from_numpy(images)])]
        except RuntimeError as error:
            line = " ".join(str(error).split())
            raise InputError(f"{path} does not run on images of shape {images.shape} ({line})") from None

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
_TFLITE: dict[str, Any] = {
    "runtime": "litert",
    "open": open_tflite,
    "packages": ("litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
    "install": "'litepose-ofa[tflite]'",
    "peaks": False,
    "fixed": True,
}
TFLITE = Format("tflite", "model.tflite", write=write_tflite, **_TFLITE)
TFLITE_INT8 = Format(
    "tflite_int8",
    "model_int8.tflite",
    write=write_tflite_int8,
    needs=("tflite",),
    precision="int8",
    **_TFLITE,
)
_EXECUTORCH: dict[str, Any] = {
    "runtime": "executorch",
    "open": open_executorch,
    "packages": ("executorch",),
    "install": "'litepose-ofa[executorch]'",
    "peaks": False,
    "fixed": True,
}
EXECUTORCH = Format("executorch", "model.pte", write=write_executorch, **_EXECUTORCH)
EXECUTORCH_INT8 = Format(
    "executorch_int8", "model_int8.pte", write=write_executorch_int8, precision="int8", **_EXECUTORCH
)
