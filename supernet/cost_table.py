"""Cost tables to read: an architecture layer by layer, and the extremes of a space."""

from __future__ import annotations

from dataclasses import dataclass

from rich.table import Table

from .arch import Arch
from .arch import read_about
from .cost import count_macs
from .cost import count_params
from .cost import input_size
from .cost import layer_macs
from .cost import layer_params
from .names import conf_names
from .space import SearchSpace
from .topology import Layer
from .topology import layers


@dataclass(frozen=True)
class LayerCost:
    """One layer's share of a network.

    Attributes:
        layer: the layer.
        shape: (channels, height, width) of its output.
        params: trainable parameters.
        macs: exact multiply-accumulates.
        macs_litepose: MACs by the paper's counting.
    """

    layer: Layer
    shape: tuple[int, int, int]
    params: int
    macs: int
    macs_litepose: int


def layer_costs(
    arch: Arch, num_joints: int = 14, input_shape: tuple[int, int] | None = None
) -> list[LayerCost]:
    """The costs of every layer of `arch`, in the order of its data flow; they add up to the network's.

    Args:
        arch: the architecture.
        num_joints: J.
        input_shape: (height, width) of the padded input in pixels, multiples of 16; default the square input.
    """
    height, width = input_size(arch, input_shape)
    return [
        LayerCost(
            layer,
            (layer.out_channels, height // layer.scale, width // layer.scale),
            layer_params(layer),
            layer_macs(layer, height, width, "exact"),
            layer_macs(layer, height, width, "litepose"),
        )
        for layer in layers(arch, num_joints)
    ]


def layer_table(arch: Arch, num_joints: int = 14, input_shape: tuple[int, int] | None = None) -> Table:
    """`layer_costs` as a table: layer, kernel, output, parameters, MACs in both conventions, share."""
    costs = layer_costs(arch, num_joints, input_shape)
    height, width = input_size(arch, input_shape)
    total = sum(cost.macs for cost in costs)
    table = Table(title=f"Cost by layer at {height}x{width}, {num_joints} joints", show_footer=True)
    table.add_column("layer", footer="total")
    table.add_column("kernel")
    table.add_column("output")
    table.add_column("params", justify="right", footer=f"{sum(cost.params for cost in costs):,}")
    table.add_column("MACs (exact)", justify="right", footer=millions(total))
    paper = sum(cost.macs_litepose for cost in costs)
    table.add_column("MACs (litepose)", justify="right", footer=millions(paper))
    table.add_column("share of exact", justify="right", footer="100.0 %")
    for cost in costs:
        layer = cost.layer
        kernel = "" if layer.kind == "norm" else f"{layer.kernel}x{layer.kernel} {layer.kind}"
        table.add_row(
            layer.name,
            kernel + (f" /{layer.stride}" if layer.stride > 1 else ""),
            "x".join(map(str, cost.shape)),
            f"{cost.params:,}",
            millions(cost.macs),
            millions(cost.macs_litepose),
            f"{100 * cost.macs / total:.1f} %",
        )
    return table


def space_table(space: SearchSpace, num_joints: int = 14) -> Table:
    """The smallest, the middle and the largest architecture of a space: sizes, parameters, MACs."""
    table = Table(title=f"Space {space.name}: {space.size():.3g} architectures, {num_joints} joints")
    for name in ("", "resolution", "widths", "depths", "head"):
        table.add_column(name)
    for name in ("params", "MACs (exact)", "MACs (litepose)"):
        table.add_column(name, justify="right")
    rows = {"smallest": space.smallest(), "middle": space.middle(), "largest": space.largest()}
    for name, arch in rows.items():
        table.add_row(
            name,
            str(arch.resolution),
            " ".join(str(width) for width in (arch.stem, *(stage.width for stage in arch.stages))),
            " ".join(str(stage.depth) for stage in arch.stages),
            " ".join(map(str, arch.head)),
            f"{count_params(arch, num_joints):,}",
            millions(count_macs(arch, num_joints)),
            millions(count_macs(arch, num_joints, "litepose")),
        )
    return table


def zoo_table(num_joints: int = 14) -> Table:
    """The released networks: sizes, parameters, MACs in both conventions, and the paper's accuracy."""
    table = Table(title=f"Released networks, {num_joints} joints; AP as the paper reports it")
    table.add_column("arch")
    table.add_column("resolution")
    for name in ("params", "MACs (exact)", "MACs (litepose)", "CrowdPose test AP", "COCO val AP"):
        table.add_column(name, justify="right")
    for name in conf_names("zoo"):
        arch = Arch.load(name)
        reported = read_about(name).get("ap_of_the_paper", {})
        table.add_row(
            name,
            str(arch.resolution),
            f"{count_params(arch, num_joints):,}",
            millions(count_macs(arch, num_joints)),
            millions(count_macs(arch, num_joints, "litepose")),
            str(reported.get("crowdpose_test", "")),
            str(reported.get("coco_val", "")),
        )
    return table


def millions(count: int) -> str:
    """`count` in millions with two decimals."""
    return f"{count / 1e6:,.2f} M"
