"""Cost tables to read: an architecture layer by layer, and the extremes of a space."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from .cli import launch
from .cost import count_macs, count_params, input_size, scored_macs
from .family import Architecture, Layer, layers, load_arch, read_about
from .heads.contract import with_each_head
from .options import CommandOptions, check_shape, joints_option
from .registry import conf_names
from .space import SearchSpace

_NO_DIGITS = str.maketrans("", "", "0123456789")


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
    arch: Architecture, num_joints: int = 14, input_shape: tuple[int, int] | None = None
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
            layer.params,
            layer.macs(height, width, "exact"),
            layer.macs(height, width, "litepose"),
        )
        for layer in layers(arch, num_joints)
    ]


def layer_table(
    arch: Architecture, num_joints: int = 14, input_shape: tuple[int, int] | None = None
) -> Table:
    """`layer_costs` as a table: layer, kernel, output, parameters, MACs in both conventions, share."""
    costs = layer_costs(arch, num_joints, input_shape)
    height, width = input_size(arch, input_shape)
    total = sum(cost.macs for cost in costs)
    paper = sum(cost.macs_litepose for cost in costs)
    table = _table(f"Cost by layer at {height}x{width}, {num_joints} joints (MACs in millions)")
    table.show_footer = True
    table.add_column("layer", footer="total", overflow="fold", min_width=20)
    table.add_column("kernel", no_wrap=True)
    table.add_column("output", no_wrap=True)
    _add_number(table, "params", f"{sum(cost.params for cost in costs):,}")
    _add_number(table, "MACs\nexact", millions(total))
    _add_number(table, "MACs\nlitepose", millions(paper))
    _add_number(table, "share", "100.0%")
    for cost in costs:
        layer = cost.layer
        table.add_row(
            layer.name,
            _kernel(layer),
            "x".join(map(str, cost.shape)),
            f"{cost.params:,}",
            millions(cost.macs),
            millions(cost.macs_litepose),
            f"{100 * cost.macs / total:.1f}%",
        )
    return table


def space_table(space: SearchSpace, num_joints: int = 14) -> Table:
    """The smallest, the middle and the largest architecture of a space: sizes, parameters, MACs.

    Of several heads the ends have those that take the fewest and the most MACs.
    """
    table = _table(f"Space {space.name}: {space.size():.3g} architectures, {num_joints} joints")
    macs = partial(count_macs, num_joints=num_joints)
    archs = {
        "smallest": min(space.decode(with_each_head(space, space.smallest())), key=macs),
        "middle": space.middle(),
        "largest": max(space.decode(with_each_head(space, space.largest())), key=macs),
    }
    table.add_column("")
    for name in archs:
        _add_number(table, name)
    rows: dict[str, Callable[[Architecture], str]] = {
        **{name: partial(_values, space, labels) for name, labels in _sizes(space).items()},
        "params": lambda arch: f"{count_params(arch, num_joints):,}",
        "MACs (exact)": lambda arch: f"{millions(count_macs(arch, num_joints))} M",
        "MACs (litepose)": lambda arch: f"{millions(count_macs(arch, num_joints, 'litepose'))} M",
    }
    for name, shown in rows.items():
        table.add_row(name, *(shown(arch) for arch in archs.values()))
    return table


def _sizes(space: SearchSpace) -> dict[str, list[str]]:
    """Names of the genes that stand in one row: those of blocks and switches left out."""
    rows: dict[str, list[str]] = {}
    for gene in space.genes:
        if gene.block is None and gene.kind != "switch":
            what = gene.label.translate(_NO_DIGITS).split()
            title = " ".join(what) + ("" if gene.kind in what else f" {gene.kind}")
            rows.setdefault(title, []).append(gene.name)
    return {title if len(names) == 1 else f"{title}s": names for title, names in rows.items()}


def _values(space: SearchSpace, names: list[str], arch: Architecture) -> str:
    values = space.values_of(arch)
    genes = space.dimensions
    return " ".join(str(genes[name].shown(values[name])) for name in names)


def zoo_table(num_joints: int = 14) -> Table:
    """The released networks: sizes, parameters, MACs of one square pass by both conventions and of the test
    that gave the paper's accuracy, and that accuracy.
    """
    table = _table(f"Released networks, {num_joints} joints (MACs in millions; AP as the paper reports it)")
    table.add_column("arch", no_wrap=True)
    costs = ("side", "params", "MACs\nexact", "MACs\nlitepose", "flip,\n4:3")
    for name in (*costs, "CrowdPose\ntest AP", "COCO\nval AP"):
        _add_number(table, name)
    for name in conf_names("zoo"):
        arch = load_arch(name)
        reported = read_about(name).get("ap_of_the_paper", {})
        table.add_row(
            name,
            str(arch.resolution),
            f"{count_params(arch, num_joints):,}",
            millions(count_macs(arch, num_joints)),
            millions(count_macs(arch, num_joints, "litepose")),
            f"{scored_macs(arch, num_joints=num_joints) / 1e9:.2f} G",
            str(reported.get("crowdpose_test", "")),
            str(reported.get("coco_val", "")),
        )
    return table


def millions(count: int) -> str:
    """`count` in millions with two decimals."""
    return f"{count / 1e6:,.2f}"


def _kernel(layer: Layer) -> str:
    """`7 /2` for a kernel of 7 with stride 2, `4 x2` for a deconvolution of 4 that doubles the map."""
    if layer.kind in ("norm", "slice"):
        return ""
    step = "" if layer.stride == 1 else f" {'x' if layer.kind in ('deconv', 'resize') else '/'}{layer.stride}"
    return f"{layer.kernel}{step}"


def _table(title: str) -> Table:
    """A table that keeps its numbers whole in 80 columns."""
    return Table(title=title, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))


def _add_number(table: Table, name: str, footer: str = "") -> None:
    table.add_column(name, footer=footer, justify="right", no_wrap=True)


@dataclass
class DescribeCommand(CommandOptions):
    """Settings of the command; with neither `arch` nor `space` it lists what ships.

    Attributes:
        arch: a zoo name or an architecture file, shown layer by layer.
        space: a space's name or file, of which the smallest, middle and largest are shown.
        num_joints: J.
        input_shape: [height, width] of the padded input of `arch`, multiples of 16; null means its square.
    """

    arch: str | None = None
    space: str | None = None
    num_joints: int = joints_option()
    input_shape: list[int] | None = None


def main() -> None:
    """Run the command."""
    launch("describe", DescribeCommand, run)


def run(config: DescribeCommand, folder: Path) -> None:
    """Print the tables that `config` asks for."""
    from rich.console import Console

    shape = config.input_shape
    check_shape("input_shape", shape)
    console = Console()
    if config.arch is not None:
        size = None if shape is None else (shape[0], shape[1])
        console.print(layer_table(load_arch(config.arch), config.num_joints, size))
    if config.space is not None:
        console.print(space_table(SearchSpace.load(config.space), config.num_joints))
    if config.arch is None and config.space is None:
        console.print(zoo_table(config.num_joints))
        for name in conf_names("spaces"):
            console.print(space_table(SearchSpace.load(name), config.num_joints))


if __name__ == "__main__":
    main()
