"""A network that a command was given, opened in the runtime that it asks for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from supernet.errors import InputError

from .portable.manifest import Manifest
from .runtime import Run
from .runtime import open_runtime
from .source import Opened

if TYPE_CHECKING:
    from supernet.data.dataset import PoseDataset
    from supernet.evaluation_options import EvaluationOptions

    from .any_arch import AnyArch

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
    from .any_network import weights_digest

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
