"""Peak extraction as a part of an ONNX graph, for consumers that do not want whole heatmaps.

The nodes repeat what `supernet.pose` does with maps: the mean of both scales, 3x3 suppression in which of
equal neighbours only the first in reading order stays, the K best per joint, the vertex of a parabola,
bilinear tags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

OPSET = 18
OUTPUTS = ("scores", "positions", "tags")
NO_PEAK = -1.0

# ONNX's own text form. `Pad` with a negative end shifts a map by a pixel.
_HEAT = """
    coarse, tag_map = Split <axis = 1, num_outputs = 2> (quarter_map)
    twice = Constant <value_floats = [1.0, 1.0, 2.0, 2.0]> ()
    enlarged = Resize <mode = "linear", coordinate_transformation_mode = "half_pixel"> (coarse, , twice)
    both = Add (enlarged, half_map)
    one_half = Constant <value_float = 0.5> ()
    heat = Mul (both, one_half)
"""
_SUPPRESSION = """
    lowest = Constant <value_float = -3.0e38> ()
    row_best = MaxPool <kernel_shape = [1, 3], pads = [0, 1, 0, 1]> (heat)
    down = Constant <value_ints = [0, 0, 1, 0, 0, 0, -1, 0]> ()
    up = Constant <value_ints = [0, 0, -1, 0, 0, 0, 1, 0]> ()
    right = Constant <value_ints = [0, 0, 0, 1, 0, 0, 0, -1]> ()
    left = Constant <value_ints = [0, 0, 0, -1, 0, 0, 0, 1]> ()
    above = Pad (row_best, down, lowest)
    below = Pad (row_best, up, lowest)
    before = Pad (heat, right, lowest)
    after = Pad (heat, left, lowest)
    earlier = Max (above, before)
    later = Max (below, after)
    beats_earlier = Greater (heat, earlier)
    holds_later = GreaterOrEqual (heat, later)
    is_peak = And (beats_earlier, holds_later)
    none = Constant <value_float = {no_peak}> ()
    peaks_only = Where (is_peak, heat, none)
"""
_BEST = """
    flat_shape = Constant <value_ints = [0, 0, -1]> ()
    flat_peaks = Reshape (peaks_only, flat_shape)
    count = Constant <value_ints = [{peaks}]> ()
    scores, place = TopK <axis = 2> (flat_peaks, count)
    flat = Reshape (heat, flat_shape)
    height = Shape <start = 2, end = 3> (heat)
    width = Shape <start = 3, end = 4> (heat)
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    row = Div (place, width)
    row_start = Mul (row, width)
    column = Sub (place, row_start)
    two_f = Constant <value_float = 2.0> ()
    one_f = Constant <value_float = 1.0> ()
    zero_f = Constant <value_float = 0.0> ()
    minus_half = Constant <value_float = -0.5> ()
"""
# The shift along one axis: `index` of `size` on it, neighbours `step` apart in the flat map.
_VERTEX = """
    {a}_last = Sub ({size}, one)
    {a}_from_start = Greater ({index}, zero)
    {a}_to_end = Less ({index}, {a}_last)
    {a}_inner = And ({a}_from_start, {a}_to_end)
    {a}_back = Sub (place, {step})
    {a}_forth = Add (place, {step})
    {a}_place_before = Where ({a}_inner, {a}_back, place)
    {a}_place_after = Where ({a}_inner, {a}_forth, place)
    {a}_before = GatherElements <axis = 2> (flat, {a}_place_before)
    {a}_after = GatherElements <axis = 2> (flat, {a}_place_after)
    {a}_here = GatherElements <axis = 2> (flat, place)
    {a}_doubled = Mul ({a}_here, two_f)
    {a}_less = Sub ({a}_doubled, {a}_before)
    {a}_bend = Sub ({a}_less, {a}_after)
    {a}_curved = Greater ({a}_bend, zero_f)
    {a}_safe = Where ({a}_curved, {a}_bend, one_f)
    {a}_slope = Sub ({a}_after, {a}_before)
    {a}_divisor = Mul ({a}_safe, two_f)
    {a}_vertex = Div ({a}_slope, {a}_divisor)
    {a}_shift = Where ({a}_curved, {a}_vertex, zero_f)
    {a}_clipped = Clip ({a}_shift, minus_half, one_half)
    {a}_index = Cast <to = 1> ({index})
    {a}_centre = Add ({a}_index, one_half)
    {a}_exact = Add ({a}_centre, {a}_clipped)
    {a}_column = Unsqueeze ({a}_exact, minus_one)
"""
# Where a pixel of the half map lies on the quarter map: (i + 0.5) / 2 - 0.5, kept inside.
_TAG_AXIS = """
    {a}_halved = Mul ({a}_centre, one_half)
    {a}_moved = Sub ({a}_halved, one_half)
    {a}_tag = Max ({a}_moved, zero_f)
    {a}_floor = Floor ({a}_tag)
    {a}_part = Sub ({a}_tag, {a}_floor)
    {a}_rest = Sub (one_f, {a}_part)
    {a}_0 = Cast <to = 7> ({a}_floor)
    {a}_next = Add ({a}_0, one)
    {a}_tag_size = Shape <start = {axis}, end = {end}> (tag_map)
    {a}_tag_last = Sub ({a}_tag_size, one)
    {a}_1 = Min ({a}_next, {a}_tag_last)
"""
_TAG_CORNER = """
    start_{y}{x} = Mul (y_{y}, x_tag_size)
    place_{y}{x} = Add (start_{y}{x}, x_{x})
    tag_{y}{x} = GatherElements <axis = 2> (flat_tags, place_{y}{x})
"""
_TAG_ROW = """
    first_{y} = Mul (tag_{y}0, x_rest)
    second_{y} = Mul (tag_{y}1, x_part)
    row_{y} = Add (first_{y}, second_{y})
"""


def append_peaks(model: Any, peaks: int) -> Any:
    """The ONNX `model` continued to its `peaks` best peaks per joint.

    Args:
        model: with the outputs `quarter` (B, 2J, h, w) and `half` (B, J, 2h, 2w).
        peaks: K >= 1.

    Returns:
        a model with the outputs `scores` (B, J, K), best first, -1 where a joint has fewer peaks; `positions`
        (B, J, K, 2), x and y in pixels of the half map (pixel i spans [i, i+1)); `tags` (B, J, K).
    """
    import onnx

    head = peak_head(peaks)
    head.ir_version = model.ir_version
    head = onnx.compose.add_prefix(head, "peaks/", rename_inputs=False, rename_outputs=False)
    return onnx.compose.merge_models(
        model, head, io_map=[("quarter", "quarter_map"), ("half", "half_map")], outputs=list(OUTPUTS)
    )


def peak_head(peaks: int) -> Any:
    """The continuation alone: inputs `quarter_map` and `half_map`, outputs as `append_peaks` says."""
    import onnx

    vertices = _VERTEX.format(a="x", index="column", size="width", step="one")
    vertices += _VERTEX.format(a="y", index="row", size="height", step="width")
    axes = _TAG_AXIS.format(a="y", axis=2, end=3) + _TAG_AXIS.format(a="x", axis=3, end=4)
    corners = "".join(_TAG_CORNER.format(y=y, x=x) for y in (0, 1) for x in (0, 1))
    body = (
        _HEAT
        + _SUPPRESSION.format(no_peak=NO_PEAK)
        + _BEST.format(peaks=peaks)
        + "minus_one = Constant <value_ints = [-1]> ()"
        + vertices
        + "positions = Concat <axis = -1> (x_column, y_column)"
        + axes
        + "flat_tags = Reshape (tag_map, flat_shape)"
        + corners
        + "".join(_TAG_ROW.format(y=y) for y in (0, 1))
        + "upper = Mul (row_0, y_rest)\n lower = Mul (row_1, y_part)\n tags = Add (upper, lower)"
    )
    inputs = "float[batch, twice_joints, h, w] quarter_map, float[batch, joints, H, W] half_map"
    best = f"float[batch, joints, {peaks}"
    outputs = f"{best}] scores, {best}, 2] positions, {best}] tags"
    header = f'<ir_version: 10, opset_import: ["" : {OPSET}]>'
    return onnx.parser.parse_model(f"{header} peaks ({inputs}) => ({outputs}) {{ {body} }}")


def peak_runtime(peaks: int) -> Callable[[Sequence[Any]], list[Any]]:
    """The continuation in onnxruntime, as a function of the maps [quarter, half]."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        peak_head(peaks).SerializeToString(), providers=["CPUExecutionProvider"]
    )

    def run(maps: Sequence[Any]) -> list[Any]:
        return list(session.run(None, {"quarter_map": maps[0], "half_map": maps[1]}))

    return run
