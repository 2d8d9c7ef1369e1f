"""The LitePose wiring, written once: which layers a network has and how data flows through them.

Source: Wang et al., "Lite Pose: Efficient Architecture Design for 2D Human Pose Estimation", CVPR 2022
(section 3 and the released configurations). The elastic and the static network, the costs, channel sorting,
batch-norm fusion and the names of released weights all follow from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

from .arch import Arch
from .errors import positive_int

STEM_CHANNELS = 32
STAGE_STRIDES = (2, 2, 2, 1)
# Reduction of the input image at the stem's and the four stages' outputs.
STEM_SCALE = 2
STAGE_SCALES = (4, 8, 16, 16)
HEAD_SCALES = (8, 4, 2)
OUTPUT_KERNEL = 5
DECONV_KERNEL = 4

Activation = Literal["relu6", "relu"]
T = TypeVar("T")


@dataclass(frozen=True)
class Layer:
    """One convolution with its batch norm and activation (no layer has a bias).

    Attributes:
        name: dotted path, the same in the elastic and the static network.
        kind: `conv`, `depthwise`, `deconv` (transposed), or `norm` (batch norm and activation alone).
        in_channels: input channels.
        out_channels: output channels (equal to the input's for `depthwise` and `norm`).
        kernel: side of the square kernel.
        stride: stride (upsampling factor for `deconv`).
        norm: whether a batch norm follows.
        activation: what follows the norm, if anything.
        scale: the output map is 1/scale of the input image on each side.
    """

    name: str
    kind: Literal["conv", "depthwise", "deconv", "norm"]
    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    norm: bool
    activation: Activation | None
    scale: int

    @property
    def padding(self) -> int:
        """Padding that keeps a stride-1 map's size (1 for the 4x4 deconvolution)."""
        return (self.kernel - 1) // 2

    @property
    def groups(self) -> int:
        """Groups of the convolution."""
        return self.in_channels if self.kind == "depthwise" else 1


def stem_layers(width: int) -> Iterator[Layer]:
    """The stem: 3x3 stride 2, 3x3 depthwise, 1x1 linear."""
    middle = STEM_CHANNELS
    yield Layer("stem.conv", "conv", 3, middle, 3, 2, True, "relu6", STEM_SCALE)
    yield Layer("stem.depthwise", "depthwise", middle, middle, 3, 1, True, "relu6", STEM_SCALE)
    yield Layer("stem.project", "conv", middle, width, 1, 1, True, None, STEM_SCALE)


def block_layers(
    stage: int, block: int, width_in: int, width: int, expansion: int, kernel: int
) -> Iterator[Layer]:
    """Inverted bottleneck number `block` of `stage` (both from 0), from `width_in` to `width` channels."""
    hidden = width_in * expansion
    scale = STAGE_SCALES[stage]
    stride = STAGE_STRIDES[stage] if block == 0 else 1
    name = block_name(stage, block)
    yield Layer(f"{name}.expand", "conv", width_in, hidden, 1, 1, True, "relu6", scale // stride)
    yield Layer(f"{name}.depthwise", "depthwise", hidden, hidden, kernel, stride, True, "relu6", scale)
    yield Layer(f"{name}.project", "conv", hidden, width, 1, 1, True, None, scale)


def head_layers(
    step: int, refined: int, raw: int, width: int, fusion: bool, num_joints: int
) -> Iterator[Layer]:
    """Deconvolution `step` (0..2) and, from step 1 on, the output of its refined map.

    Args:
        step: 0 to 2, giving maps at 1/8, 1/4 and 1/2.
        refined: channels of the refined path before this step.
        raw: channels of the backbone map that is deconvolved beside it (stage 3, 2, 1).
        width: channels of the refined path after this step.
        fusion: whether the backbone map is deconvolved and added.
        num_joints: J.
    """
    scale = HEAD_SCALES[step]
    name = f"head.{step}"
    yield Layer(f"{name}.refined", "deconv", refined, width, DECONV_KERNEL, 2, False, None, scale)
    if fusion:
        yield Layer(f"{name}.raw", "deconv", raw, width, DECONV_KERNEL, 2, False, None, scale)
    yield Layer(f"{name}.norm", "norm", width, width, 1, 1, True, "relu", scale)
    if step:
        yield from output_layers(step, "refined", width, num_joints)


def output_layers(
    step: int, source: Literal["refined", "raw"], channels: int, num_joints: int
) -> Iterator[Layer]:
    """One of the two separable convolutions whose sum is the output of head `step` (1, 2).

    Args:
        step: 1 emits 2J channels (heatmaps, tags) at 1/4, 2 emits J heatmaps at 1/2.
        source: the refined map of this step, or the backbone map of the same scale (stage 1, stem).
        channels: channels of that map.
        num_joints: J.
    """
    scale = HEAD_SCALES[step]
    outputs = num_joints * (3 - step)
    name = f"head.{step}.output_{source}"
    yield Layer(f"{name}.depthwise", "depthwise", channels, channels, OUTPUT_KERNEL, 1, True, "relu", scale)
    yield Layer(f"{name}.project", "conv", channels, outputs, 1, 1, False, None, scale)


@lru_cache(maxsize=1024, typed=True)
def layers(arch: Arch, num_joints: int) -> tuple[Layer, ...]:
    """Every layer of `arch` in the order of its data flow.

    Raises:
        InputError: `num_joints` is no positive integer.
    """
    positive_int(num_joints, "num_joints")
    widths = (arch.stem, *(stage.width for stage in arch.stages))
    found = [*stem_layers(arch.stem)]
    for i, stage in enumerate(arch.stages):
        for j, (kernel, expansion) in enumerate(zip(stage.kernels, stage.expansions, strict=True)):
            width_in = widths[i] if j == 0 else stage.width
            found += block_layers(i, j, width_in, stage.width, expansion, kernel)
    refined = widths[4]
    for step, width in enumerate(arch.head):
        found += head_layers(step, refined, widths[3 - step], width, arch.fusion[step], num_joints)
        if step and arch.raw_outputs[step - 1]:
            found += output_layers(step, "raw", widths[2 - step], num_joints)
        refined = width
    return tuple(found)


def block_name(stage: int, block: int) -> str:
    """Dotted path of a block, both numbers from 0."""
    return f"stages.{stage}.{block}"


def is_residual(arch: Arch, stage: int, block: int) -> bool:
    """Whether a block adds its input: stride 1 and equal widths."""
    if block > 0:
        return True
    width_in = arch.stem if stage == 0 else arch.stages[stage - 1].width
    return STAGE_STRIDES[stage] == 1 and width_in == arch.stages[stage].width


def closes_branch(layer: Layer) -> bool:
    """Whether a layer ends a block that adds its input whatever the widths: all but a stage's first."""
    group, *path = layer.name.split(".")
    return group == "stages" and path[1] != "0" and path[2] == "project"


def wire(arch: Arch, apply: Callable[[str, T], T], add: Callable[[T, T], T], images: T) -> list[T]:
    """Run the network: `apply(layer name, value)` computes a layer, `add` a sum.

    Values are tensors in a network; channel sorting passes symbols through the same wiring.

    Returns:
        the 1/4-scale output (J heatmaps, then J tags) and the 1/2-scale output (J heatmaps).
    """
    x = images
    for part in ("conv", "depthwise", "project"):
        x = apply(f"stem.{part}", x)
    raws = [x]
    for i, stage in enumerate(arch.stages):
        for j in range(stage.depth):
            y = x
            for part in ("expand", "depthwise", "project"):
                y = apply(f"{block_name(i, j)}.{part}", y)
            x = add(y, x) if is_residual(arch, i, j) else y
        raws.append(x)
    outputs = []
    for step in range(len(arch.head)):
        name = f"head.{step}"
        x = apply(f"{name}.refined", x)
        if arch.fusion[step]:
            x = add(x, apply(f"{name}.raw", raws[3 - step]))
        x = apply(f"{name}.norm", x)
        if step:
            output = apply(f"{name}.output_refined.project", apply(f"{name}.output_refined.depthwise", x))
            if arch.raw_outputs[step - 1]:
                raw = apply(f"{name}.output_raw.depthwise", raws[2 - step])
                output = add(output, apply(f"{name}.output_raw.project", raw))
            outputs.append(output)
    return outputs
