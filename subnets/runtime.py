"""A network behind one call, in torch or in the runtime of one of its formats."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from supernet.data.source import require_joints
from supernet.errors import InputError

from .export.formats import FORMATS, Floats, Run, format_of, formats, readers
from .network import weights_digest
from .portable.manifest import Manifest
from .portable.session import file_digest
from .source import Opened

if TYPE_CHECKING:
    from supernet.data.source import DataConfig
    from supernet.options import EvaluationOptions


def torch_runtime(net: nn.Module, threads: int | None = None, device: str = "cpu") -> Run:
    """A copy of `net` in evaluation mode on `device`, float32, channels last; `net` stays as it is.

    `threads` sets torch's thread count, which holds for the whole process.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    copied = copy.deepcopy(net).to(device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def run(images: Floats) -> list[Floats]:
        with torch.inference_mode():
            tensor = torch.from_numpy(images).to(device, memory_format=torch.channels_last)
            return [output.float().cpu().contiguous().numpy() for output in copied(tensor)]

    return run


def open_runtime(source: Any, kind: str = "auto", threads: int | None = None) -> Run:
    """`source` as a function from images to outputs.

    Args:
        source: a module, or a file of a format that `kind` runs.
        kind: `torch`, or the runtime of a format in `FORMATS`; `auto` for what runs `source`.
        threads: threads of one call; None leaves it to the runtime.

    Raises:
        InputError: unknown kind, a runtime that is not installed, or a file that it cannot read.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads={threads} must be 1 or more")
    is_file = isinstance(source, str | os.PathLike)
    if kind == "torch" or (kind == "auto" and not is_file):
        return torch_runtime(source, threads)
    among = formats() if kind == "auto" else readers(kind)
    format_ = format_of(source, among)
    if format_ is None:
        known = ", ".join(item.name for item in among)
        raise InputError(f"{source} is a file of no format that runtime={kind} runs ({known})")
    return format_.open(Path(source), threads)


def run_of(opened: Opened, runtime: str, threads: int | None = None) -> Run:
    """`opened` as a function from images to outputs.

    Args:
        opened: the network.
        runtime: `torch` for its weights; that of a format for its file; `auto` for whichever there is,
            torch first.
        threads: see `open_runtime`.

    Raises:
        InputError: the network has no such file, or is nothing but one, or finds no people by itself.
    """
    opened.require_people()
    file = file_of(opened, runtime)
    return open_runtime(opened.require_net() if file is None else file, runtime_of(opened, runtime), threads)


def runtime_of(opened: Opened, runtime: str) -> str:
    """The runtime that `auto` means for `opened`; others as they are."""
    if runtime != "auto":
        return runtime
    return "torch" if opened.net is not None else FORMATS.get(next(iter(opened.files))).runtime


def file_of(opened: Opened, runtime: str) -> Path | None:
    """The file of `opened` that `runtime` runs; None for torch.

    Raises:
        InputError: there is none, or no such runtime.
    """
    runtime = runtime_of(opened, runtime)
    if runtime == "torch":
        return None
    suffixes = [suffix for item in readers(runtime) for suffix in item.suffixes]
    found = [path for suffix in suffixes for path in opened.files.values() if path.suffix == suffix]
    if not found:
        raise InputError(f"{opened.name} has no file for {runtime}; export it first, and give that folder")
    return found[0]


def manifest_of(opened: Opened, runtime: str) -> Manifest:
    """`opened` as `run_of` would run it: of a file with the shape and the peaks that it says."""
    file = file_of(opened, runtime)
    form = None if file is None else format_of(file)
    said = None if file is None or form is None else opened.manifest or form.manifest(file)
    return opened.describe(said)


def digest_of(opened: Opened, runtime: str) -> str:
    """SHA-256 of what `run_of` would run: of the weights in torch, else of the file."""
    file = file_of(opened, runtime)
    if file is None:
        return weights_digest(opened.require_net())
    return file_digest(file)


def fitting_options(options: EvaluationOptions, manifest: Manifest) -> EvaluationOptions:
    """`options` for a network that takes only one input shape, or ends in peaks, if its manifest says so.

    Raises:
        InputError: that shape is not the square of its resolution, or a multi-scale test is asked for, or a
            flip test of a graph that ends in peaks or people.
    """
    shape, side = manifest.input_shape, manifest.resolution
    if manifest.peaks and (options.flip or tuple(options.scales) != (1.0,)):
        raise InputError(
            f"flip and multi-scale tests merge heatmaps, and {manifest.name} as a file ends in peaks or "
            "people; export it with export.peaks=0, or use evaluation.flip=false evaluation.scales=[1]"
        )
    if shape is None:
        return options
    if shape != (side, side):
        raise InputError(
            f"a file of the fixed shape {shape[0]} x {shape[1]} is not scored, only the square of "
            f"{side} or free shapes; export it once more with export.shapes=dynamic"
        )
    if tuple(options.scales) != (1.0,):
        raise InputError("a multi-scale test needs a network that takes any input shape")
    return replace(options, square=True, batch_size=1)


def check_joints(opened: Opened, data: DataConfig) -> None:
    """Raise InputError unless the network's joints are those of the data, which need not be there yet."""
    mend = "choose data of its joints" if opened.trained else "give the skeleton= of the data"
    require_joints(data, opened.skeleton, opened.name, mend=mend)
