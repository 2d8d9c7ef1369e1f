"""Several ways to run a network behind one call: torch, onnxruntime, OpenVINO, a torch.export program."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from supernet.errors import InputError

from .portable.session import OnnxSession

if TYPE_CHECKING:
    from torch import nn

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
