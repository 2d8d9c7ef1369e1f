"""Tracing a torch module into an ONNX model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from supernet.errors import InputError

from .quiet import quiet

OPSET = 18
# Bounds of free axes, with `LARGEST_SIDE`: the exporter proves nothing about infinite images.
LARGEST_BATCH = 256


def trace(
    net: nn.Module,
    examples: tuple[torch.Tensor, ...],
    input_names: tuple[str, ...],
    output_names: tuple[str, ...],
    dynamic: tuple[dict[int, Any], ...] | None = None,
) -> Any:
    """`net` as an ONNX model without the exporter's notes; sizes are those of `examples` but for `dynamic`.

    Raises:
        InputError: onnx or onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError("ONNX export needs onnx and onnxscript; pip install onnx onnxscript") from None
    with quiet():
        program = torch.onnx.export(
            net.eval(),
            examples,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(input_names),
            output_names=list(output_names),
            dynamic_shapes=dynamic,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    return model


def _strip(model: Any) -> None:
    """Drop the exporter's notes (source lines, file paths of this machine) from the model."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    graph.doc_string = ""
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer, graph):
        if hasattr(item, "doc_string"):
            item.doc_string = ""
        if hasattr(item, "metadata_props"):
            del item.metadata_props[:]
    del model.functions[:]
