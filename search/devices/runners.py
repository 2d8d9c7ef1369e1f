"""Parts and whole networks as ONNX graphs with random weights, batch norms folded: for timing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from subnets.network import Subnet, Unit
from supernet.errors import InputError
from supernet.family import Architecture, Layer, norm_sources, wire
from supernet.network import ModuleTree, active_layers

from ..costs.parts import Part
from .board_script import Run
from .options import DeviceOptions

OPSET = 18
# What onnxruntime of a few years ago still reads.
IR_VERSION = 8


class _Graph:
    """Collects nodes and weights."""

    def __init__(self, biased: Collection[str]) -> None:
        self._biased = biased
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

    def apply(self, layer: Layer, x: str) -> str:
        """A layer with its batch norm folded and its activation."""
        if layer.weights:
            x = self._convolution(layer, x)
        elif layer.kind == "slice":
            x = self._some_channels(layer, x)
        elif layer.stride > 1:
            x = self._enlarged(x, layer.stride)
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
        if layer.name in self._biased:
            inputs.append(self._weight(layer.out_channels))
        return self.node(
            "ConvTranspose" if layer.kind == "deconv" else "Conv",
            *inputs,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.padding] * 4,
            group=layer.groups,
        )

    def _enlarged(self, x: str, factor: int) -> str:
        scales = f"times{factor}"
        if scales not in {weight.name for weight in self.weights}:
            values = np.array([1, 1, factor, factor], np.float32)
            self.weights.append(numpy_helper.from_array(values, scales))
        how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self.node("Resize", x, "", scales, **how)

    def _some_channels(self, layer: Layer, x: str) -> str:
        step = layer.in_channels // layer.out_channels
        places = [layer.first], [layer.in_channels], [1], [step]
        return self.node("Slice", x, *(self._constant(f"int{value}", value) for value in places))

    def _constant(self, name: str, value: float | list[int]) -> str:
        if name not in {weight.name for weight in self.weights}:
            kind = np.int64 if isinstance(value, list) else np.float32
            self.weights.append(numpy_helper.from_array(np.array(value, kind), name))
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
    graph = _Graph(biased_layers(part))
    inputs = {f"x{i}": shape for i, shape in enumerate(part.inputs)}
    return graph.finish(inputs, part.run(graph.apply, graph.add, inputs))


def biased_layers(part: Part) -> set[str]:
    """Names of its layers that have a bias."""
    return {layer.name for layer, biased in zip(part.layers, part.biased, strict=True) if biased}


def onnx_network(arch: Architecture, num_joints: int) -> bytes:
    """A whole network at its own resolution."""
    graph = _Graph({sources[0] for sources in norm_sources(arch, num_joints).values()})
    known = active_layers(arch, num_joints)
    outputs = wire(arch, lambda name, x: graph.apply(known[name], x), graph.add, "images")
    return graph.finish({"images": (3, arch.resolution)}, outputs)


class PartNet(ModuleTree[Unit]):
    """One part as a plain `nn.Module` in evaluation mode."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        biased = biased_layers(part)
        self.plant(part.layers, lambda layer: Unit(layer, layer.name in biased, False))
        self.part = part
        self.eval()

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        """The part's outputs for its inputs (1, C, H, W) each."""
        return self.part.run(self._apply_unit, torch.add, inputs)

    def _apply_unit(self, layer: Layer, x: Tensor) -> Tensor:
        output: Tensor = self.unit(layer.name)(x)
        return output


def prepare_torch(device: DeviceOptions) -> None:
    """Set the thread count (it holds for the process) and see that the device is there.

    Raises:
        InputError: CUDA is asked for and absent.
    """
    torch.set_num_threads(device.threads)
    require_device(device)


def require_device(device: DeviceOptions) -> None:
    """Raise InputError if torch has no such device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(device.device.partition(":")[2] or 0)
    if device.device != "cpu" and number >= count:
        seen = f"only {count} CUDA devices" if count else "no CUDA device"
        raise InputError(f"device.device={device.device}: torch sees {seen} here")


def part_maker(part: Part, device: DeviceOptions) -> Callable[[], Run]:
    """Makes a call that runs a part; parts are always eager, since compiling hundreds of them takes hours."""
    return lambda: _runner(PartNet(part), part.inputs, device, compiled=False)


def network_maker(arch: Architecture, num_joints: int, device: DeviceOptions) -> Callable[[], Run]:
    """Makes a call that runs a whole network."""
    compiled = device.runtime == "torch_compile"
    shape = ((3, arch.resolution),)
    return lambda: _runner(Subnet(arch, num_joints, fused=True).eval(), shape, device, compiled)


def _runner(
    net: nn.Module, shapes: tuple[tuple[int, int], ...], device: DeviceOptions, compiled: bool
) -> Run:
    dtype = getattr(torch, device.precision)
    place: dict[str, Any] = {"device": device.device, "dtype": dtype, "memory_format": torch.channels_last}
    net = net.to(**place)
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, c, side, side, generator=generator).to(**place) for c, side in shapes]
    call: Callable[..., object] = _compile(net) if compiled else net
    if not device.device.startswith("cuda"):
        return lambda: _inference(call, inputs)

    def run() -> None:
        _inference(call, inputs)
        torch.cuda.synchronize(device.device)

    return run


def _compile(net: nn.Module) -> Callable[..., object]:
    """`net` compiled for its one input size, or an error; forgotten at the next call of this function."""
    # All networks share one `forward`: past eight versions of it torch would silently run the rest eagerly.
    torch.compiler.reset()
    compiled: Callable[..., object] = torch.compile(net, dynamic=False, fullgraph=True)
    return compiled


def _inference(call: Callable[..., object], inputs: list[torch.Tensor]) -> None:
    with torch.inference_mode():
        call(*inputs)
