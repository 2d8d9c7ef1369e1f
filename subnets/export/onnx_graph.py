"""The format onnx: a network as an ONNX file that says how to use itself."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from supernet import __version__
from supernet.cost import check_input_shape
from supernet.errors import InputError
from supernet.family import LARGEST_SIDE, STEP
from supernet.heads.contract import HEADS
from supernet.pose.skeletons import Skeleton
from supernet.runs.files import atomic_path

from ..portable.manifest import METADATA_KEY, Manifest
from ..portable.session import OnnxSession
from .formats import OPSET, Format, Job

# Bounds of free axes, with `LARGEST_SIDE`: the exporter proves nothing about infinite images.
LARGEST_BATCH = 256
TRACED = (64, 96)
# Nodes whose meaning is the same for images of any size.
SIZELESS = {
    *("Conv", "ConvTranspose", "MaxPool", "BatchNormalization", "LayerNormalization", "Concat", "Resize"),
    *("Clip", "Relu", "Elu", "Sigmoid", "Add", "Sub", "Mul", "Div", "Exp"),
    *("ReduceMean", "ReduceMax", "ReduceSum"),
}
# Attributes of later opsets, and the values that ask for what there was before (no shape here holds a 0).
LATER = {
    ("keep_aspect_ratio_policy", b"stretch"),
    ("antialias", 0),
    ("allowzero", 0),
    ("allowzero", 1),
    ("noop_with_empty_axes", 0),
}
# Comparisons of opset 12, and the older two of which either holds.
COMPARED = {"GreaterOrEqual": ("Greater", "Equal"), "LessOrEqual": ("Less", "Equal")}
ALL_AXES = 64
# Names of the nodes behind the maps begin with this.
END = "peaks/"
Shape = tuple[int, int]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No prints, no warnings and no log lines below errors; exceptions pass."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        nowhere = io.StringIO()
        out, err = contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere)
        with warnings.catch_warnings(), out, err:
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


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


def export_onnx(net: nn.Module, path: str | os.PathLike[str], manifest: Manifest, opset: int = OPSET) -> None:
    """Write `net` to the ONNX file `path`, weights included, in one piece.

    Args:
        net: takes (B, 3, H, W); in evaluation mode, batch norms preferably folded (`subnets.network`).
        path: the file to write.
        manifest: goes into the file's metadata; its `input_shape` fixes the input to (1, 3, height,
            width), without one batch, height and width are free (sides multiples of its `step`); its
            `peaks` end the graph in peaks or people instead of maps.
        opset: the ONNX operator set that the file is for; its operators mean the same in all that are taken.

    Raises:
        InputError: onnx or onnxscript is not installed, an input shape that is no multiple of `step`, or an
            opset that lacks an operator.
    """
    shape = manifest.input_shape
    example = torch.zeros(1, 3, *(check_input_shape(shape, manifest.step) if shape else TRACED))
    outputs = HEADS.get(manifest.head_kind).outputs(manifest.skeleton.num_joints)
    model = trace(net, (example,), ("images",), tuple(output.name for output in outputs))
    if shape is None:
        free_axes(model)
    if manifest.peaks:
        model = append_ending(model, manifest)
    set_opset(model, opset)
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, manifest.to_json()
    model.producer_name, model.producer_version = "litepose-ofa", __version__
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def set_opset(model: Any, opset: int) -> None:
    """Write a traced model in an operator set; every node computes what it did.

    The form of file becomes the oldest one that has the set: old runtimes refuse later ones.

    Raises:
        InputError: an operator of the model has no such form.
    """
    import onnx

    model.opset_import[0].version = opset
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    nodes = [each for node in model.graph.node for each in _lowered(node, model.graph, opset)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        line = " ".join(str(error).split())
        raise InputError(f"export.opset={opset} does not do for this graph ({line}); use {OPSET}") from None


def _lowered(node: Any, graph: Any, opset: int) -> list[Any]:
    """`node` as the nodes that say the same in `opset`; constants that they need are added to `graph`."""
    from onnx import helper

    known = _schema(node.op_type, opset)
    if known is None:
        if node.op_type not in COMPARED:
            return [node]
        parts = [f"{node.output[0]}_{kind}" for kind in COMPARED[node.op_type]]
        either = [
            helper.make_node(kind, list(node.input), [part], name=part)
            for kind, part in zip(COMPARED[node.op_type], parts, strict=True)
        ]
        return [*either, helper.make_node("Or", parts, list(node.output), name=node.name)]
    _move_axes(node, graph, known)
    for attribute in [each for each in node.attribute if each.name not in known.attributes]:
        if (attribute.name, attribute.s or attribute.i) in LATER:
            node.attribute.remove(attribute)
    if node.op_type == "Resize" and not node.input[1] and _is_required(known.inputs[1]):
        node.input[1] = _constant(graph, f"{node.name}_roi", np.zeros(0, np.float32))
    if node.op_type == "Shape" and "start" not in known.attributes:
        return _sliced(node, graph)
    return [node]


def _schema(kind: str, opset: int) -> Any | None:
    import onnx

    try:
        return onnx.defs.get_schema(kind, opset)
    except onnx.defs.SchemaError:
        return None


def _is_required(parameter: Any) -> bool:
    return bool(parameter.option.name == "Single")


def _move_axes(node: Any, graph: Any, known: Any) -> None:
    """Constant inputs that were attributes in older opsets (such as `axes`) become those."""
    from onnx import defs, helper, numpy_helper

    given = {parameter.name for parameter in known.inputs}
    for place, parameter in reversed(list(enumerate(defs.get_schema(node.op_type, OPSET).inputs))):
        moved = parameter.name in known.attributes and parameter.name not in given
        if moved and place < len(node.input):
            (value,) = [each for each in graph.initializer if each.name == node.input[place]]
            node.attribute.append(
                helper.make_attribute(parameter.name, numpy_helper.to_array(value).tolist())
            )
            del node.input[place]


def _sliced(node: Any, graph: Any) -> list[Any]:
    """A `Shape` of some axes as one of all and a slice."""
    from onnx import helper

    axes = {each.name: each.i for each in node.attribute}
    del node.attribute[:]
    ends = [
        _constant(graph, f"{node.name}_{name}", np.array([axes.get(name, other)], np.int64))
        for name, other in (("start", 0), ("end", ALL_AXES))
    ]
    whole, part = f"{node.output[0]}_whole", node.output[0]
    node.output[0] = whole
    return [node, helper.make_node("Slice", [whole, *ends], [part], name=f"{node.name}_part")]


def _constant(graph: Any, name: str, value: Any) -> str:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(value, name))
    return name


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
    # Unlike sizes on all axes, none of them 1: the exporter takes equal or unit sizes as fixed.
    return torch.zeros(2, 3, 4 * step, 6 * step), dynamic


def free_axes(model: Any) -> None:
    """Make batch, height and width of a traced network free.

    Tracing with symbolic sizes takes ten times as long and gives the same nodes: none of a convolutional
    network's depends on a size, which is checked here.
    """
    known = {tensor.name: tensor for tensor in model.graph.initializer}
    odd = {node.op_type for node in model.graph.node if not _is_sizeless(node, known)}
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


def _is_sizeless(node: Any, known: Mapping[str, Any]) -> bool:
    from onnx import numpy_helper

    if node.op_type == "Slice":
        # Of channels it is, which its fourth input says.
        return node.input[3] in known and numpy_helper.to_array(known[node.input[3]]).tolist() == [1]
    # A resize by a factor is one (its third input), a resize to a size (its fourth) is not.
    resized_to = node.op_type == "Resize" and any(node.input[3:])
    return node.op_type in SIZELESS and not resized_to


@lru_cache(maxsize=4)
def ending(kind: str, count: int, skeleton: Skeleton, shape: Shape | None = None) -> Any:
    """The end of a graph as an ONNX model; its inputs are the head's outputs, `_map` behind their names.

    Args:
        kind: of the head.
        count: of peaks or people, >= 1.
        skeleton: the joints.
        shape: (height, width) of the network's input; None leaves batch, height and width free.
    """
    head = HEADS.get(kind)
    outputs, module = head.outputs(skeleton.num_joints), head.ending(count, skeleton)
    assert module is not None, f"head {kind} has no other end than maps"
    height, width = shape or TRACED
    examples = tuple(
        torch.zeros(1 if shape else 2, o.channels, height // o.scale, width // o.scale) for o in outputs
    )
    dynamic = None
    if shape is None:
        coarsest = max(output.scale for output in outputs)
        most = LARGEST_SIDE // coarsest
        batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
        rows, columns = (torch.export.Dim(name, min=4, max=most) for name in ("rows", "columns"))
        times = [coarsest // output.scale for output in outputs]
        dynamic = tuple({0: batch, 2: _times(n, rows), 3: _times(n, columns)} for n in times)
    names = tuple(f"{output.name}_map" for output in outputs)
    return trace(module, examples, names, tuple(head.ending_outputs()), dynamic)


def _times(factor: int, size: Any) -> Any:
    return size if factor == 1 else factor * size


def append_ending(model: Any, manifest: Manifest) -> Any:
    """The ONNX `model`, whose outputs are its head's maps, continued to the end that `manifest` names."""
    import onnx

    head = HEADS.get(manifest.head_kind)
    end = onnx.compose.add_prefix(
        ending(manifest.head_kind, manifest.peaks, manifest.skeleton, manifest.input_shape),
        END,
        rename_inputs=False,
        rename_outputs=False,
    )
    end.ir_version = model.ir_version
    names = [output.name for output in head.outputs(manifest.skeleton.num_joints)]
    joined = onnx.compose.merge_models(
        model, end, io_map=[(name, f"{name}_map") for name in names], outputs=list(head.ending_outputs())
    )
    del joined.opset_import[1:]  # both parts named the same one
    return joined


def write_onnx(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """The fused network in fp32."""
    export_onnx(job.fused, path, job.manifest, job.opset)
    return ()


def read_manifest(path: Path) -> Manifest:
    """What an exported ONNX file says about itself.

    Raises:
        InputError: it is no ONNX file, or not one of ours.
    """
    return OnnxSession(path, threads=1).require_manifest()


ONNX = Format("onnx", "model.onnx", "onnxruntime", write_onnx, OnnxSession, read_manifest, bundled=True)
