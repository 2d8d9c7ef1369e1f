"""Several ways to run a network behind one call: torch, onnxruntime, OpenVINO, a torch.export program."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from supernet.errors import InputError

from .portable.manifest import Manifest
from .portable.session import OnnxSession
from .source import Opened

if TYPE_CHECKING:
    from torch import nn

    from supernet.data.dataset import PoseDataset
    from supernet.options import EvaluationOptions

    from .families.descriptions import AnyArch

Floats: TypeAlias = NDArray[np.float32]
# (B, 3, H, W) normalised images -> the network's outputs
Run: TypeAlias = Callable[[Floats], list[Floats]]
Path: TypeAlias = str | os.PathLike[str]


def torch_runtime(net: nn.Module, threads: int | None = None, device: str = "cpu") -> Run:
    """`net` in evaluation mode on `device`, float32, channels last.

    `threads` sets torch's thread count, which holds for the whole process.
    """
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    net = net.to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def run(images: Floats) -> list[Floats]:
        with torch.inference_mode():
            tensor = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            return [output.float().cpu().contiguous().numpy() for output in net(tensor)]

    return run


def onnx_runtime(path: Path, threads: int | None = None) -> Run:
    """The ONNX file `path` in onnxruntime on the CPU; see `OnnxSession`."""
    return OnnxSession(path, threads)


def openvino_runtime(path: Path, threads: int | None = None) -> Run:
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
        raise InputError(f"OpenVINO cannot read {os.fspath(path)} ({' '.join(str(error).split())})") from None

    def run(images: Floats) -> list[Floats]:
        results = model([images])
        return [np.array(results[port]) for port in model.outputs]

    return run


def torch_export_runtime(path: Path, threads: int | None = None) -> Run:
    """The program that `torch.export.save` wrote to `path`.

    Raises:
        InputError: the file is missing or no such program.
    """
    import torch

    try:
        program = torch.export.load(path)
    except Exception as error:  # zip, pickle and version errors are all "not a program"
        raise InputError(
            f"{os.fspath(path)} is not a torch.export program ({' '.join(str(error).split())})"
        ) from None
    module = program.module()
    if threads is not None:
        torch.set_num_threads(threads)

    def run(images: Floats) -> list[Floats]:
        with torch.inference_mode():
            return [output.numpy() for output in module(torch.from_numpy(images))]

    return run


_OPENERS: dict[str, Callable[[Any, int | None], Run]] = {
    "torch": torch_runtime,
    "onnxruntime": onnx_runtime,
    "openvino": openvino_runtime,
    "torch.export": torch_export_runtime,
}
RUNTIMES = tuple(_OPENERS)


def open_runtime(source: Any, kind: str = "torch", threads: int | None = None) -> Run:
    """`source` as a function from images to outputs.

    Args:
        source: a module for `torch`; an `.onnx` file for `onnxruntime`; an `.onnx` or `.xml` file for
            `openvino`; a `.pt2` file for `torch.export`.
        kind: one of `RUNTIMES`.
        threads: threads of one call; None leaves it to the runtime.

    Raises:
        InputError: unknown kind, a runtime that is not installed, or a file that it cannot read.
    """
    if kind not in _OPENERS:
        raise InputError(f"runtime {kind!r} is not known; choose one of {', '.join(RUNTIMES)}")
    if threads is not None and threads < 1:
        raise InputError(f"threads={threads} must be 1 or more")
    return _OPENERS[kind](source, threads)


def _openvino() -> Any:
    try:
        import openvino
    except ImportError:
        raise InputError("OpenVINO is not installed; pip install 'litepose-ofa[openvino]'") from None
    return openvino


ON_FILES = ("onnxruntime", "openvino")


def run_of(opened: Opened, runtime: str, threads: int | None = None) -> Run:
    """`opened` as a function from images to outputs.

    Args:
        opened: the network.
        runtime: `torch` for its weights; `onnxruntime` or `openvino` for its ONNX file; `auto` for
            whichever there is, torch first.
        threads: see `open_runtime`.

    Raises:
        InputError: the network has no ONNX file, or is nothing but one, or finds no people by itself.
    """
    opened.require_people()
    runtime = runtime_of(opened, runtime)
    if runtime == "torch":
        return open_runtime(opened.require_net(), "torch", threads)
    if runtime in ON_FILES:
        if opened.onnx is None:
            raise InputError(
                f"{opened.name} has no ONNX file for {runtime}; export it first, and give that folder"
            )
        return open_runtime(opened.onnx, runtime, threads)
    return open_runtime(opened.net, runtime, threads)


def runtime_of(opened: Opened, runtime: str) -> str:
    """The runtime that `auto` means for `opened`; others as they are."""
    if runtime != "auto":
        return runtime
    return "onnxruntime" if opened.net is None else "torch"


def manifest_of(opened: Opened, runtime: str) -> Manifest | None:
    """What the ONNX file says that `run_of` would run; None for torch."""
    if opened.onnx is None or runtime_of(opened, runtime) == "torch":
        return None
    from .portable.session import OnnxSession

    return opened.manifest or OnnxSession(opened.onnx, threads=1).require_manifest()


def digest_of(opened: Opened, runtime: str) -> str:
    """SHA-256 of what `run_of` would run: of the weights in torch, else of the ONNX file."""
    if runtime_of(opened, runtime) != "torch" and opened.onnx is not None:
        return hashlib.sha256(opened.onnx.read_bytes()).hexdigest()
    from .families.networks import weights_digest

    return weights_digest(opened.require_net())


def fitting_options(
    options: EvaluationOptions, arch: AnyArch, manifest: Manifest | None
) -> EvaluationOptions:
    """`options` for a network that takes only one input shape, if its manifest names one.

    Raises:
        InputError: that shape is not the square of its resolution, or a multi-scale test is asked for.
    """
    shape = manifest.input_shape if manifest is not None else None
    if shape is None:
        return options
    if shape != (arch.resolution, arch.resolution):
        raise InputError(
            f"an ONNX file of the fixed shape {shape[0]} x {shape[1]} is not scored, only the square of "
            f"{arch.resolution} or free shapes; export it once more with export.shapes=dynamic"
        )
    if tuple(options.scales) != (1.0,):
        raise InputError("a multi-scale test needs a network that takes any input shape")
    return replace(options, square=True, batch_size=1)


def check_joints(opened: Opened, dataset: PoseDataset) -> None:
    """Raise InputError unless the network's joints are those of the data set."""
    if opened.skeleton.joints != dataset.skeleton.joints:
        raise InputError(
            f"{opened.name} finds the {opened.skeleton.num_joints} joints of {opened.skeleton.name!r}, "
            f"{dataset.name} labels the {dataset.skeleton.num_joints} of {dataset.skeleton.name!r}; "
            f"{'choose data of its joints' if opened.trained else 'give the skeleton= of the data'}"
        )
