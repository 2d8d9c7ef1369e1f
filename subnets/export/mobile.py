"""Formats for phones and boards: tflite, executorch and coreml."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from supernet.errors import InputError
from supernet.family import step_of
from supernet.runs.reading import read_bytes

from ..portable.manifest import METADATA_KEY, Manifest, outputs_of
from .conversions import package, stopped
from .formats import Floats, Format, Job, Run
from .onnx_graph import example_input, quiet

_litert = partial(package, label="LiteRT", extra="tflite")
_executorch = partial(package, label="ExecuTorch", extra="executorch")
_coreml = partial(package, label="coremltools", extra="coreml")

# The systems that have Core ML, as `sys.platform` names them; coremltools converts on others, too.
APPLE = ("darwin",)
# What the arithmetic of a Core ML program may be, and coremltools' names for it.
PRECISIONS = {"fp32": "FLOAT32", "fp16": "FLOAT16"}


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
    return (f"calibrated on {len(images)} {job.calibrated_on}", "input and outputs are integers, too")


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
    return (f"calibrated on {len(images)} {job.calibrated_on}",)


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
            raise stopped(path, images, error) from None

    return run


def require_coreml(job: Job, options: Mapping[str, Any]) -> None:
    """Raise InputError where it has no such arithmetic."""
    if options["precision"] not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise InputError(f"export.options.coreml.precision is {options['precision']!r}; choose from {known}")


def write_coreml(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """A Core ML package (ML program, iOS 15 or macOS 12 and later), outputs named as the manifest names them.

    Raises:
        InputError: coremltools is not installed.
    """
    precision = options["precision"]
    tools = _coreml("coremltools")
    example, _ = example_input(job.manifest.input_shape, step_of(job.net.arch))
    with quiet():
        model = tools.convert(
            torch.export.export(job.fused, (example,)).run_decompositions({}),
            outputs=[tools.TensorType(name=name) for name in outputs_of(job.manifest)],
            convert_to="mlprogram",
            compute_precision=getattr(tools.precision, PRECISIONS[precision]),
            minimum_deployment_target=tools.target.iOS15,
        )
        model.user_defined_metadata[METADATA_KEY] = job.manifest.to_json()
        model.save(os.fspath(path))
    # coremltools leaves a table for debugging, and its file unreadable for others.
    (path / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    for part in path.rglob("*"):
        if part.is_file():
            part.chmod((path / "Manifest.json").stat().st_mode)
    return (f"{precision} arithmetic",)


def manifest_of_coreml(path: Path) -> Manifest | None:
    """What `write_coreml` wrote about the package `path`; None in one of another origin."""
    with quiet():
        said = _coreml("coremltools").utils.load_spec(os.fspath(path)).description.metadata.userDefined
    return Manifest.from_json(said[METADATA_KEY], str(path)) if METADATA_KEY in said else None


def open_coreml(path: Path, threads: int | None = None) -> Run:
    """The Core ML package `path` on the processor, where Core ML exists; it chooses its own threads.

    Raises:
        InputError: this system has no Core ML, coremltools is not installed, or the package is none.
    """
    if sys.platform not in APPLE:
        raise InputError(
            f"{path} runs on Apple's systems alone; run it there on the folder's vectors, and give its "
            "outputs to subnets.compare as .npz"
        )
    tools = _coreml("coremltools")
    try:
        with quiet():
            model = tools.models.MLModel(os.fspath(path), compute_units=tools.ComputeUnit.CPU_ONLY)
    except Exception as error:  # of its own and of protobuf
        raise InputError(f"{path} is no Core ML package ({' '.join(str(error).split())})") from None
    spec = model.get_spec().description
    (given,), names = spec.input, [each.name for each in spec.output]

    def run(images: Floats) -> list[Floats]:
        try:
            found = model.predict({given.name: images})
        except Exception as error:  # RuntimeError and its own
            raise stopped(path, images, error) from None
        return [np.asarray(found[name], np.float32) for name in names]

    return run


TFLITE = Format(
    "tflite",
    "model.tflite",
    "litert",
    write_tflite,
    open_tflite,
    packages=("litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
    install="'litepose-ofa[tflite]'",
    peaks=False,
    fixed=True,
)
TFLITE_INT8 = replace(
    TFLITE,
    name="tflite_int8",
    file="model_int8.tflite",
    write=write_tflite_int8,
    needs=("tflite",),
    precision="int8",
    calibrated=True,
)
EXECUTORCH = Format(
    "executorch",
    "model.pte",
    "executorch",
    write_executorch,
    open_executorch,
    packages=("executorch",),
    install="'litepose-ofa[executorch]'",
    peaks=False,
    fixed=True,
)
EXECUTORCH_INT8 = replace(
    EXECUTORCH,
    name="executorch_int8",
    file="model_int8.pte",
    write=write_executorch_int8,
    packages=("executorch", "torchao"),
    install="'litepose-ofa[executorch]' torchao",
    precision="int8",
    calibrated=True,
)
COREML = Format(
    "coreml",
    "coreml/model.mlpackage",
    "coreml",
    write_coreml,
    open_coreml,
    manifest_of_coreml,
    packages=("coremltools",),
    install="'litepose-ofa[coreml]'",
    peaks=False,
    fixed=True,
    systems=APPLE,
    options={"precision": "fp32"},
    require=require_coreml,
)
