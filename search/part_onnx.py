"""Parts and whole networks as ONNX graphs with random weights, batch norms folded: for timing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx import helper
from onnx import numpy_helper

from supernet.arch import Arch
from supernet.topology import Layer
from supernet.topology import layers
from supernet.topology import wire

from .parts import Part
from .parts import has_bias
from .parts import wire_part

OPSET = 18
# What onnxruntime of a few years ago still reads.
IR_VERSION = 8


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, found: Iterable[Layer]) -> None:
        self._layers = {layer.name: layer for layer in found}
        self._rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def _name(self) -> str:
        return f"v{len(self.nodes)}"

    def _weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        values = np.float32(0.1) * self._rng.standard_normal(shape, dtype=np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; the name of its output."""
        output = self._name()
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def add(self, x: str, y: str) -> str:
        """A sum."""
        return self.node("Add", x, y)

    def apply(self, name: str, x: str) -> str:
        """A layer with its batch norm folded and its activation."""
        layer = self._layers[name]
        if layer.kind != "norm":
            x = self._convolution(layer, x)
        if layer.activation == "relu":
            return self.node("Relu", x)
        if layer.activation == "relu6":
            return self.node("Clip", x, self._constant("zero", 0.0), self._constant("six", 6.0))
        return x

    def _convolution(self, layer: Layer, x: str) -> str:
        shape = (layer.out_channels, layer.in_channels // layer.groups, layer.kernel, layer.kernel)
        if layer.kind == "deconv":
            shape = (layer.in_channels, layer.out_channels, layer.kernel, layer.kernel)
        inputs = [x, self._weight(*shape)]
        if has_bias(layer):
            inputs.append(self._weight(layer.out_channels))
        return self.node(
            "ConvTranspose" if layer.kind == "deconv" else "Conv",
            *inputs,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
            group=layer.groups,
        )

    def _constant(self, name: str, value: float) -> str:
        if name not in {weight.name for weight in self.weights}:
            self.weights.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def finish(self, inputs: dict[str, tuple[int, int]], outputs: list[str]) -> bytes:
        """The model as bytes; inputs by name as (channels, side)."""
        given = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, side, side])
            for name, (channels, side) in inputs.items()
        ]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "part", given, made, self.weights)
        imports = [helper.make_opsetid("", OPSET)]
        return bytes(
            helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION).SerializeToString()
        )


def onnx_part(part: Part) -> bytes:
    """One part."""
    graph = _Graph(part.layers)
    inputs = {f"x{i}": shape for i, shape in enumerate(part.inputs)}
    return graph.finish(inputs, wire_part(part, graph.apply, graph.add, list(inputs)))


def onnx_network(arch: Arch, num_joints: int) -> bytes:
    """A whole network at its own resolution."""
    graph = _Graph(layers(arch, num_joints))
    outputs = wire(arch, graph.apply, graph.add, "images")
    return graph.finish({"images": (3, arch.resolution)}, outputs)
