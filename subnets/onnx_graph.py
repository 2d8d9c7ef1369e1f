"""A network as an ONNX file that says how to use itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from supernet.files import atomic_path

from .input_shape import LARGEST_SIDE
from .input_shape import STEP
from .input_shape import check_input_shape
from .onnx_trace import LARGEST_BATCH
from .onnx_trace import trace
from .peak_head import append_peaks
from .portable.manifest import METADATA_KEY
from .portable.manifest import Manifest

# The names of the outputs, by what a network gives (`Manifest.kind`).
OUTPUTS = {"embedding": ("quarter", "half"), "heatmaps": ("heatmaps",), "fields": ("heatmaps", "fields")}
TRACED = (64, 96)
# Nodes whose meaning is the same for images of any size.
SIZELESS = {
    *("Conv", "ConvTranspose", "MaxPool", "BatchNormalization", "LayerNormalization", "Concat", "Resize"),
    *("Clip", "Relu", "Elu", "Sigmoid", "Add", "Sub", "Mul", "Div", "Exp"),
    *("ReduceMean", "ReduceMax", "ReduceSum"),
}
Shape = tuple[int, int]


def export_onnx(
    net: nn.Module,
    path: str | os.PathLike[str],
    manifest: Manifest,
) -> None:
    """Write `net` to the ONNX file `path`, weights included, in one piece.

    Args:
        net: takes (B, 3, H, W); in evaluation mode, batch norms preferably folded (`subnets.fuse`).
        path: the file to write.
        manifest: goes into the file's metadata; its `input_shape` fixes the input to (1, 3, height,
            width), without one batch, height and width are free (height and width multiples of 16); its
            `peaks` end the graph in peaks instead of maps.

    Raises:
        InputError: onnx or onnxscript is not installed, or an input shape that is no multiple of 16.
    """
    shape = manifest.input_shape
    example = torch.zeros(1, 3, *(check_input_shape(shape) if shape else TRACED))
    model = trace(net, (example,), ("images",), OUTPUTS[manifest.kind])
    if shape is None:
        free_axes(model)
    if manifest.peaks:
        model = append_peaks(model, manifest.peaks)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, manifest.to_json()
    model.producer_name, model.producer_version = "litepose-ofa", _version()
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def _version() -> str:
    from supernet import __version__

    return __version__


def example_input(input_shape: Shape | None, step: int = STEP) -> tuple[torch.Tensor, dict[int, Any] | None]:
    """An input to trace with and its free axes (None: all fixed), for `torch.export`."""
    if input_shape is not None:
        return torch.zeros(1, 3, *check_input_shape(input_shape, step)), None
    most = LARGEST_SIDE // step
    dynamic = {
        0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH),
        2: step * torch.export.Dim("rows", min=2, max=most),
        3: step * torch.export.Dim("columns", min=2, max=most),
    }
    # Unlike sizes on all axes, none of them 1: the exporter takes equal or unit sizes for fixed facts.
    return torch.zeros(2, 3, 4 * step, 6 * step), dynamic


def free_axes(model: Any) -> None:
    """Make batch, height and width of a traced network free.

    Tracing with symbolic sizes takes ten times as long and gives the same nodes: none of a convolutional
    network's depends on a size, which is checked here.
    """
    odd = {node.op_type for node in model.graph.node if not _is_sizeless(node)}
    if odd:
        raise AssertionError(f"nodes {sorted(odd)} may depend on the sizes traced with")
    del model.graph.value_info[:]
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        dims[axis].dim_param = name
    for output in model.graph.output:
        dims = output.type.tensor_type.shape.dim
        dims[0].dim_param = "batch"
        for dim in (dims[2], dims[3]):
            dim.ClearField("dim_value")


def _is_sizeless(node: Any) -> bool:
    # A resize by a factor is one (its third input), a resize to a size (its fourth) is not.
    resized_to = node.op_type == "Resize" and any(node.input[3:])
    return node.op_type in SIZELESS and not resized_to


def file_bytes(path: Path) -> int:
    """Size of a file or of all files of a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
