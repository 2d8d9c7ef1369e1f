"""The formats levelled and int8: weights that one scale per tensor is enough for, and static INT8 of them,
both by what calibration images show.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from supernet.errors import InputError
from supernet.runs.files import atomic_path

from ..portable.manifest import METADATA_KEY, Manifest
from ..portable.session import OnnxSession
from .formats import Floats, Format, Job
from .onnx_graph import ONNX, quiet, read_manifest
from .options import INT8_EXTENTS

PER_CHANNEL = 13  # the opset whose QuantizeLinear takes an axis
QUANTISED = ("Conv", "Clip", "Relu", "Add")
# Has no INT8 kernel in onnxruntime; there, converting to and fro around it only makes the file smaller.
TRANSPOSED = "ConvTranspose"
# Channels that move less than this share of their layer's widest range hardly move.
STILL = 0.02
SWEEPS = 10  # over all pairs of layers, until their ranges have settled


@dataclass
class Moves:
    """What calibration images show of a map: (C,) lowest, highest and mean values by channel."""

    low: Floats
    high: Floats
    mean: Floats


class ConvGraph:
    """The convolutions of an ONNX model, their weights and biases as arrays that can be changed.

    Args:
        model: is changed by `store`; convolutions without a bias are given one.
    """

    def __init__(self, model: Any) -> None:
        from onnx import numpy_helper

        self.model = model
        self.arrays = {item.name: numpy_helper.to_array(item).copy() for item in model.graph.initializer}
        kinds, weights = ("Conv", TRANSPOSED), self.arrays
        self.convs = [n for n in model.graph.node if n.op_type in kinds and n.input[1] in weights]
        self._outputs = {output.name for output in model.graph.output}
        self._users: dict[str, list[Any]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        for node in self.convs:
            if len(node.input) < 3:
                name = f"{node.input[1]}.bias"
                self.arrays[name] = np.zeros(self._channels(node), np.float32)
                node.input.append(name)

    def store(self) -> Any:
        """The model, with the arrays as they are now."""
        from onnx import numpy_helper

        del self.model.graph.initializer[:]
        items = [numpy_helper.from_array(value, name) for name, value in self.arrays.items()]
        self.model.graph.initializer.extend(items)
        return self.model

    def weight(self, node: Any) -> Floats:
        """(out, in / groups, k, k), or of a transposed convolution (in, out / groups, k, k)."""
        return self.arrays[node.input[1]]

    def bias(self, node: Any) -> Floats:
        """(out,)."""
        return self.arrays[node.input[2]]

    def groups(self, node: Any) -> int:
        """Of the convolution."""
        return next((each.i for each in node.attribute if each.name == "group"), 1)

    def _channels(self, node: Any) -> int:
        first, second = self.weight(node).shape[:2]
        return int(second * self.groups(node) if node.op_type == TRANSPOSED else first)

    def depthwise(self) -> list[Any]:
        """The convolutions of one filter per channel."""
        return [n for n in self.convs if n.op_type == "Conv" and 1 < self.groups(n) == len(self.weight(n))]

    def spread(self) -> float:
        """The largest weight of a depthwise layer in units of the median over its channels' largest ones."""
        found = [1.0]
        for node in self.depthwise():
            largest = np.abs(self.weight(node)).max(axis=(1, 2, 3))
            found.append(float(largest.max() / np.median(largest[largest > 0])))
        return max(found)

    def pairs(self) -> Iterator[tuple[Any, Any, float, float]]:
        """Convolutions whose output only one other reads, that one, and the least and the largest value that
        the activation between them lets pass.
        """
        for node in self.convs:
            name, low, high = node.output[0], -np.inf, np.inf
            after = self._only_user(name)
            if after is not None and after.op_type in ("Clip", "Relu"):
                limits = [float(self.arrays[each]) for each in after.input[1:] if each in self.arrays]
                low, high = limits if len(limits) == 2 else (0.0, np.inf)
                after = self._only_user(after.output[0])
            one_way = after is not None and after.op_type == node.op_type == "Conv"
            if after is not None and one_way and self.groups(after) in (1, len(self.weight(after))):
                yield node, after, low, high

    def _only_user(self, name: str) -> Any | None:
        users = self._users.get(name, [])
        return users[0] if len(users) == 1 and name not in self._outputs else None


def moves(graph: ConvGraph, nodes: Sequence[Any], images: Iterable[Floats]) -> dict[str, Moves]:
    """How the inputs and outputs of `nodes` move over `images`, by their names."""
    import onnx
    import onnxruntime

    names = list(dict.fromkeys(name for node in nodes for name in (node.input[0], node.output[0])))
    watched = onnx.ModelProto()
    watched.CopyFrom(graph.store())
    own = watched.graph.input[0].name
    del watched.graph.output[:]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in names
        if name != own
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: dict[str, Moves] = {}
    for count, batch in enumerate(images, start=1):
        values = [output.name for output in session.get_outputs()]
        for name, value in [(own, batch), *zip(values, session.run(None, {own: batch}), strict=True)]:
            low, high, mean = (reduce(value, axis=(0, 2, 3)) for reduce in (np.min, np.max, np.mean))
            known = found.setdefault(name, Moves(low, high, mean))
            known.low, known.high = np.minimum(known.low, low), np.maximum(known.high, high)
            known.mean = known.mean + (mean - known.mean) / np.float32(count)
    return found


def level(graph: ConvGraph, images: Sequence[Floats]) -> int:
    """Bring the weights of one tensor to similar ranges; over `images` the network stays nearly the same.

    A batch norm magnifies a channel that hardly moves, and its folded weights are thousands of times those
    of others, whose weights one scale for all then rounds to 0. Such channels are set to their mean; what is
    left is equalised between a layer and the next (Nagel et al., "Data-Free Quantization through Weight
    Equalization and Bias Correction", ICCV 2019), as far as activations that end at 6 let it.

    Returns:
        how many channels were set to their mean.
    """
    seen, count = moves(graph, graph.convs, images), 0
    for node in graph.depthwise():
        before, after = seen[node.input[0]], seen[node.output[0]]
        width = before.high - before.low
        still = width < STILL * width.max()
        graph.weight(node)[still] = 0
        graph.bias(node)[still] = after.mean[still]
        count += int(still.sum())
    pairs = list(graph.pairs())
    for _ in range(SWEEPS):
        for first, second, low, high in pairs:
            equalise(graph, first, second, seen[first.output[0]], low, high)
    return count


def equalise(graph: ConvGraph, first: Any, second: Any, seen: Moves, low: float, high: float) -> None:
    """Multiply every channel between two layers by a factor, which the second layer's weights undo.

    The factor makes the channel's smallest share of a range (of the weights before, of the map, of the
    weights behind) as large as it can be.

    Args:
        graph: with both.
        first, second: the layers.
        seen: of the first one's output; is changed as that is.
        low, high: what the activation between them lets pass.
    """
    before, behind = graph.weight(first), graph.weight(second)
    alone = graph.groups(second) > 1
    largest = np.maximum(np.abs(np.clip(seen.low, low, high)), np.abs(np.clip(seen.high, low, high)))
    shares = [
        value / max(float(value.max()), float(np.finfo(np.float32).tiny))
        for value in (
            np.abs(before).max(axis=(1, 2, 3)),
            largest,
            np.abs(behind).max(axis=(1, 2, 3) if alone else (0, 2, 3)),
        )
    ]
    # A channel that reaches the activation's end must not be moved, others only up to it.
    free = (np.minimum.reduce(shares) > 0) & (seen.high <= high)
    factor = np.ones(len(before), np.float32)
    factor[free] = np.sqrt(shares[2][free] / np.minimum(shares[0], shares[1])[free])
    if np.isfinite(high):
        room = np.divide(high, seen.high, out=np.full_like(seen.high, np.inf), where=seen.high > 0)
        factor[free] = np.minimum(factor, np.maximum(room, 1))[free]
    column = factor.reshape(-1, 1, 1, 1)
    before *= column
    graph.bias(first)[:] *= factor
    behind /= column if alone else factor.reshape(1, -1, 1, 1)
    seen.low, seen.high = seen.low * factor, seen.high * factor


def correct_biases(
    graph: ConvGraph, nodes: Sequence[Any], images: Sequence[Floats], per_channel: bool
) -> None:
    """Take from the biases of `nodes` what rounding their weights to INT8 will add on the mean."""
    seen = moves(graph, nodes, images)
    for node in nodes:
        weight, mean, groups = graph.weight(node), seen[node.input[0]].mean, graph.groups(node)
        transposed = node.op_type == TRANSPOSED
        axes = tuple(axis for axis in range(4) if not per_channel or axis != int(transposed))
        step = np.maximum(np.abs(weight).max(axis=axes, keepdims=True) / 127, np.finfo(np.float32).tiny)
        error = (np.round(weight / step) * step - weight).sum(axis=(2, 3))
        if transposed:
            stride = next(each.ints for each in node.attribute if each.name == "strides")
            # An output pixel meets one in so many of the weights.
            error = error.T / np.prod(stride)
        # (groups, out / groups, in / groups) times (groups, in / groups, 1)
        shift = error.reshape(groups, -1, error.shape[1]) @ mean.reshape(groups, -1, 1)
        graph.bias(node)[:] -= shift.reshape(-1)


def quantise(
    source: Path, target: Path, images: Iterable[Floats], manifest: Manifest, extent: str = INT8_EXTENTS[0]
) -> None:
    """Write the INT8 form of the fp32 ONNX file `source` to `target`.

    Activations are UINT8 per tensor with the ranges that `images` show (Jacob et al., "Quantization and
    Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018), weights INT8,
    biases corrected for their rounding.

    Args:
        source: with maps as outputs.
        target: to write.
        images: (1, 3, H, W) normalised training images, at least one.
        manifest: of `source`; the precision in the new file's metadata becomes `int8`.
        extent: see `ExportOptions.int8`.

    Raises:
        InputError: no images, or onnxruntime lacks its quantisation tools.
    """
    import onnx

    tools, shapes = _tools()
    batches = list(images)
    if not batches:
        raise InputError("INT8 needs training images to calibrate on; check data.root and data.train_split")
    mixed, per_channel = extent == "mixed", extent != "tensor"
    kinds = QUANTISED if mixed else (*QUANTISED, TRANSPOSED)
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared, quantised = Path(folder, "prepared.onnx"), Path(folder, "quantised.onnx")
        shapes.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        graph = ConvGraph(onnx.load(prepared))
        left = output_nodes(graph.model)
        chosen = [node for node in graph.convs if node.op_type in kinds and node.name not in left]
        correct_biases(graph, chosen, batches, per_channel)
        onnx.save(graph.store(), prepared)
        tools.quantize_static(
            str(prepared),
            str(quantised),
            _Reader(batches),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(kinds),
            nodes_to_exclude=left,
            per_channel=per_channel,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            calibrate_method=tools.CalibrationMethod.MinMax,
        )
        model = onnx.load(quantised)
    # The quantiser declares domains of operators that it did not use; some converters refuse them.
    used = {node.domain for node in model.graph.node}
    for index in reversed(range(len(model.opset_import))):
        if model.opset_import[index].domain not in used:
            del model.opset_import[index]
    _write(model, target, replace(manifest, precision="int8"))


def _write(model: Any, target: Path, manifest: Manifest) -> None:
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, manifest.to_json()
    with atomic_path(target) as temporary:
        temporary.write_bytes(model.SerializeToString())


def output_nodes(model: Any) -> list[str]:
    """Names of the nodes between the graph's outputs and the last convolutions, those included."""
    makers = {name: node for node in model.graph.node for name in node.output}
    found: list[str] = []
    waiting = [output.name for output in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None or node.name in found:
            continue
        found.append(node.name)
        if node.op_type != "Conv":
            waiting += node.input
    return found


class _Reader:
    """The images in the form in which onnxruntime's calibration asks for them."""

    def __init__(self, images: Iterable[Floats]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, Floats] | None:
        """The next input, or None at the end."""
        images = next(self._images, None)
        return None if images is None else {"images": images}


def _tools() -> tuple[Any, Any]:
    try:
        from onnxruntime import quantization
        from onnxruntime.quantization import shape_inference
    except ImportError as error:
        raise InputError(
            f"INT8 needs onnxruntime's quantisation tools ({error}); pip install onnx onnxruntime"
        ) from None
    return quantization, shape_inference


def write_levelled(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """The ONNX file of the same folder with weights in similar ranges."""
    import onnx

    graph = ConvGraph(onnx.load(job.folder / ONNX.file))
    before = graph.spread()
    images = job.calibration()
    still = level(graph, images)
    note = (
        f"depthwise weights up to {before:.0f} times their median, {graph.spread():.0f} after levelling; "
        f"{still} channels that hardly move are constant"
    )
    _write(graph.store(), path, replace(job.manifest, about={**job.manifest.about, "levelled": note}))
    return (note, f"by {len(images)} {job.calibrated_on}")


def require_int8(job: Job, options: Mapping[str, Any]) -> None:
    """Raise InputError where the operator set has no INT8 of the extent that is asked for."""
    if job.opset < PER_CHANNEL and job.int8 != "tensor":
        raise InputError(
            f"export.opset={job.opset} has no INT8 per channel; use {PER_CHANNEL} or more, "
            "or export.int8=tensor"
        )


def write_int8(job: Job, path: Path, options: Mapping[str, Any]) -> Sequence[str]:
    """The levelled file of the same folder in INT8."""
    images, source = job.calibration(), job.folder / LEVELLED.file
    quantise(source, path, images, job.manifest, job.int8)
    about = read_manifest(source).about
    return (f"calibrated on {len(images)} {job.calibrated_on}", job.int8, str(about["levelled"]))


LEVELLED = Format(
    "levelled",
    "model_levelled.onnx",
    "onnxruntime",
    write_levelled,
    OnnxSession,
    read_manifest,
    needs=("onnx",),
    precision="levelled",
    calibrated=True,
)
INT8 = Format(
    "int8",
    "model_int8.onnx",
    "onnxruntime",
    write_int8,
    OnnxSession,
    read_manifest,
    needs=("levelled",),
    precision="int8",
    calibrated=True,
    peaks=False,
    require=require_int8,
)
