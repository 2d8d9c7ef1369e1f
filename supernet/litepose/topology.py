"""The LitePose wiring, written once: which layers a network has and how data flows through them.

Source: Wang et al., "Lite Pose: Efficient Architecture Design for 2D Human Pose Estimation", CVPR 2022
(section 3 and the released configurations).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, reduce
from typing import Any, Literal, TypeVar

from ..errors import InputError
from ..family import Layer
from ..heads.contract import HEADS, Output
from ..space import SearchableFamily
from .arch import DEFAULT_HEAD, NAME, STRIDES, Arch
from .space import LitePoseSpace

STEM_CHANNELS = 32
# Reduction of the input image at the stem's, the four stages' and the three head steps' outputs.
STEM_SCALE = 2
STAGE_SCALES = (4, 8, 16, 16)
HEAD_SCALES = (8, 4, 2)
OUTPUT_KERNEL = 5
REFINEMENT = "refinement"
# How released networks name a layer's convolution and norm, by how we name the layer.
_RELEASED = (
    (r"stem\.conv", "first.0.0", "first.0.1"),
    (r"stem\.depthwise", "first.1.0", "first.1.1"),
    (r"stem\.project", "first.2", "first.3"),
    (r"stages\.(\d+\.\d+)\.expand", r"stage.\1.inv.0", r"stage.\1.inv.1"),
    (r"stages\.(\d+\.\d+)\.depthwise", r"stage.\1.depth_conv.0", r"stage.\1.depth_conv.1"),
    (r"stages\.(\d+\.\d+)\.project", r"stage.\1.point_conv.0", r"stage.\1.point_conv.1"),
    (r"head\.(\d)\.(refined|raw)", r"deconv_\2.\1", ""),
    (r"head\.(\d)\.norm", "", r"deconv_bnrelu.\1.0"),
    # Outputs count from the first step that has one.
    (r"head\.1\.output_(refined|raw)\.depthwise", r"final_\1.0.conv.0", r"final_\1.0.conv.1"),
    (r"head\.2\.output_(refined|raw)\.depthwise", r"final_\1.1.conv.0", r"final_\1.1.conv.1"),
    (r"head\.1\.output_(refined|raw)\.project", r"final_\1.0.conv.3", ""),
    (r"head\.2\.output_(refined|raw)\.project", r"final_\1.1.conv.3", ""),
)

T = TypeVar("T")
Source = Literal["refined", "raw"]


@lru_cache(maxsize=64)
def _stem_layers(width: int) -> tuple[Layer, ...]:
    """The stem: 3x3 stride 2, 3x3 depthwise, 1x1 linear."""
    middle, place = STEM_CHANNELS, (STEM_SCALE, "stem", "stem")
    return (
        Layer("stem.conv", "conv", 3, middle, 3, 2, True, "relu6", *place),
        Layer("stem.depthwise", "depthwise", middle, middle, 3, 1, True, "relu6", *place),
        Layer("stem.project", "conv", middle, width, 1, 1, True, None, *place),
    )


@lru_cache(maxsize=8192)
def _block_layers(
    stage: int, block: int, width_in: int, width: int, expansion: int, kernel: int
) -> tuple[Layer, ...]:
    """Inverted bottleneck number `block` of `stage` (both from 0), from `width_in` to `width` channels."""
    hidden = width_in * expansion
    scale = STAGE_SCALES[stage]
    stride = STRIDES[stage] if block == 0 else 1
    name = _block_name(stage, block)
    place = (scale, name, f"stage{stage + 1}")
    return (
        Layer(f"{name}.expand", "conv", width_in, hidden, 1, 1, True, "relu6", scale // stride, *place[1:]),
        Layer(f"{name}.depthwise", "depthwise", hidden, hidden, kernel, stride, True, "relu6", *place),
        Layer(f"{name}.project", "conv", hidden, width, 1, 1, True, None, *place, closes_branch=block > 0),
    )


def _head_layers(
    kind: str, step: int, refined: int, raw: int, width: int, fusion: bool, outputs: Mapping[str, int]
) -> Iterator[Layer]:
    """Enlargement `step` (0..2) and the outputs of its refined map.

    Args:
        kind: of the head.
        step: 0 to 2, giving maps at 1/8, 1/4 and 1/2.
        refined: channels of the refined path before this step.
        raw: channels of the backbone map that is enlarged beside it (stage 3, 2, 1).
        width: channels of the refined path after this step.
        fusion: whether the backbone map is enlarged and added.
        outputs: channels of the outputs at this scale by the name of their layers.
    """
    name, enlarge = _step_name(kind, step), HEADS.get(kind).enlarge
    place = (HEAD_SCALES[step], name, f"{_head_name(kind)}{step + 1}")
    yield from enlarge(f"{name}.refined", refined, width, *place)
    if fusion:
        yield from enlarge(f"{name}.raw", raw, width, *place)
    yield Layer(f"{name}.norm", "norm", width, width, 1, 1, True, "relu", *place)
    for output, channels in outputs.items():
        yield from _output_layers(step, f"{name}.{output}_refined", width, channels, *place[1:])


def _output_layers(
    step: int, name: str, width: int, channels: int, part: str, group: str
) -> tuple[Layer, ...]:
    """One of the two separable convolutions whose sum is an output of head `step`: of its refined map, or of
    the backbone's map of the same scale (stage 2, stage 1, stem).
    """
    place = (HEAD_SCALES[step], part, group)
    return (
        Layer(f"{name}.depthwise", "depthwise", width, width, OUTPUT_KERNEL, 1, True, "relu", *place),
        Layer(f"{name}.project", "conv", width, channels, 1, 1, False, None, *place),
    )


def _head_name(kind: str) -> str:
    """What the layers of a head are called, so that one supernet can hold several."""
    return "head" if kind == DEFAULT_HEAD else f"head_{kind}"


def _step_name(kind: str, step: int) -> str:
    return f"{_head_name(kind)}.{step}"


@lru_cache(maxsize=64)
def _enlarging(kind: str, name: str) -> tuple[str, ...]:
    """The names of the layers that enlarge the map `name`."""
    return tuple(layer.name for layer in HEADS.get(kind).enlarge(name, 1, 1, 1, "", ""))


def _block_name(stage: int, block: int) -> str:
    return f"stages.{stage}.{block}"


@lru_cache(maxsize=64)
def _outputs(head_kind: str, num_joints: int) -> tuple[tuple[str, int, Output], ...]:
    """Per output of a head: the name of its layers, the step that gives it, and what it is.

    Raises:
        InputError: an output at a scale that no step has.
    """
    found: list[tuple[str, int, Output]] = []
    for output in HEADS.get(head_kind).outputs(num_joints):
        if output.scale not in HEAD_SCALES:
            raise InputError(
                f"head {head_kind} gives {output.name} at 1/{output.scale}; {NAME} has 1/8, 1/4 and 1/2"
            )
        step = HEAD_SCALES.index(output.scale)
        first = all(step != other for _, other, _ in found)
        found.append(("output" if first else f"output_{output.name}", step, output))
    return tuple(found)


def _is_residual(arch: Arch, stage: int, block: int) -> bool:
    """Whether a block adds its input: stride 1 and equal widths."""
    if block > 0:
        return True
    width_in = arch.stem if stage == 0 else arch.stages[stage - 1].width
    return STRIDES[stage] == 1 and width_in == arch.stages[stage].width


def _has_raw_output(arch: Arch, step: int) -> bool:
    return step == 0 or arch.raw_outputs[step - 1]


class LitePose(SearchableFamily):
    """LitePose: inverted bottlenecks, and a head of deconvolutions fused with the backbone's maps."""

    name = NAME

    def read(self, value: Mapping[str, Any]) -> Arch:
        return Arch.from_dict(value)

    def read_space(self, value: Mapping[str, Any], default_name: str) -> LitePoseSpace:
        return LitePoseSpace.read(value, default_name)

    def layers(self, arch: Arch, num_joints: int) -> tuple[Layer, ...]:
        widths = (arch.stem, *(stage.width for stage in arch.stages))
        found = [*_stem_layers(arch.stem)]
        for i, stage in enumerate(arch.stages):
            for j, (kernel, expansion) in enumerate(zip(stage.kernels, stage.expansions, strict=True)):
                width_in = widths[i] if j == 0 else stage.width
                found += _block_layers(i, j, width_in, stage.width, expansion, kernel)
        refined = widths[4]
        if arch.refinement is not None:
            found += arch.refinement.layers(REFINEMENT, refined, STAGE_SCALES[3])
        wanted = _outputs(arch.head_kind, num_joints)
        # Steps beyond the finest output would feed nothing.
        for step in range(1 + max(step for _, step, _ in wanted)):
            width = arch.head[step]
            here = {name: output.channels for name, at, output in wanted if at == step}
            found += _head_layers(
                arch.head_kind, step, refined, widths[3 - step], width, arch.fusion[step], here
            )
            if _has_raw_output(arch, step):
                for name, channels in here.items():
                    full = f"{_step_name(arch.head_kind, step)}.{name}_raw"
                    found += _output_layers(step, full, widths[2 - step], channels, full, "raw")
            refined = width
        return tuple(found)

    def wire(self, arch: Arch, apply: Callable[[str, T], T], add: Callable[[T, T], T], images: T) -> list[T]:
        x = images
        for part in ("conv", "depthwise", "project"):
            x = apply(f"stem.{part}", x)
        raws = [x]
        for i, stage in enumerate(arch.stages):
            for j in range(stage.depth):
                y = x
                for part in ("expand", "depthwise", "project"):
                    y = apply(f"{_block_name(i, j)}.{part}", y)
                x = add(y, x) if _is_residual(arch, i, j) else y
            raws.append(x)
        if arch.refinement is not None:
            x = arch.refinement.wire(REFINEMENT, apply, add, x)
        wanted = _outputs(arch.head_kind, 1)
        found: dict[int, T] = {}
        for step in range(1 + max(step for _, step, _ in wanted)):
            name = _step_name(arch.head_kind, step)
            paths = {"refined": x, **({"raw": raws[3 - step]} if arch.fusion[step] else {})}
            for path, value in paths.items():
                for layer in _enlarging(arch.head_kind, f"{name}.{path}"):
                    value = apply(layer, value)
                paths[path] = value
            x = reduce(add, paths.values())
            x = apply(f"{name}.norm", x)
            for place, (layer, at, _) in enumerate(wanted):
                if at == step:
                    found[place] = self._output(
                        arch, step, f"{name}.{layer}", (x, raws[2 - step]), apply, add
                    )
        return [found[place] for place in range(len(wanted))]

    def _output(
        self,
        arch: Arch,
        step: int,
        name: str,
        maps: tuple[T, T],
        apply: Callable[[str, T], T],
        add: Callable[[T, T], T],
    ) -> T:
        refined, raw = maps
        output = apply(f"{name}_refined.project", apply(f"{name}_refined.depthwise", refined))
        if not _has_raw_output(arch, step):
            return output
        return add(output, apply(f"{name}_raw.project", apply(f"{name}_raw.depthwise", raw)))

    def released_name(self, layer: Layer) -> tuple[str, str]:
        for pattern, conv, norm in _RELEASED:
            found = re.fullmatch(pattern, layer.name)
            if found:
                return found.expand(conv), found.expand(norm)
        raise InputError(f"{layer.name} is no layer of a released LitePose network")


LITEPOSE = LitePose()
