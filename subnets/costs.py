"""`python -m subnets.costs`: parameters, MACs and memory of LitePose and comparison networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supernet.cli import launch
from supernet.options import CommandOptions, check_shape, joints_option, option, scales_option

from .console import as_list


@dataclass
class CostsCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        arch: networks by name, description or folder; null lists all that ship.
        num_joints: J.
        input_shape: [height, width] for all; null takes each one's own.
        flip: of the test whose MACs stand beside those of one pass.
        scales: of that test.
        image_shape: [height, width] of its images in pixels; by default they are 4:3.
    """

    arch: Any = None
    num_joints: int = joints_option()
    input_shape: list[int] | None = None
    flip: bool = True
    scales: tuple[float, ...] = scales_option((1.0,))
    image_shape: list[int] = option([480, 640], least=1, size=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape("input_shape", self.input_shape)


def main() -> None:
    """Run the command."""
    launch("costs", CostsCommand, run)


def run(config: CostsCommand, folder: Path) -> None:
    """Print the table."""
    from rich.table import Table

    from supernet.cost import Passes, count_macs, count_params, scored_macs
    from supernet.family import load_arch
    from supernet.memory import memory_of
    from supernet.registry import conf_names

    from .console import open_console

    shape = config.input_shape
    shipped = [*conf_names("zoo"), *conf_names("baselines")]
    table = Table(title=f"{config.num_joints} joints, one image (millions)")
    (rows, columns), scales = config.image_shape, tuple(config.scales)
    passes = Passes(config.flip, scales, images=(((rows, columns), 1),))
    macs = ("MACs (exact)", f"of a test: {passes.told()}", "MACs (litepose)")
    numbers = ("params", *macs, "RAM int8 (MB)", "flash int8 (MB)")
    for name in ("network", "input", *numbers):
        table.add_column(name, justify="left" if name == "network" else "right")
    for name in shipped if config.arch is None else as_list(config.arch, "arch"):
        arch = load_arch(name)
        height, width = arch.input_shape if shape is None else (shape[0], shape[1])
        exact, paper = (
            count_macs(arch, config.num_joints, each, (height, width)) for each in ("exact", "litepose")
        )
        tested = scored_macs(arch, passes, config.num_joints)
        counts = [count_params(arch, config.num_joints), exact, tested, paper]
        counts += memory_of(arch, config.num_joints, "int8", (height, width)) or ()
        table.add_row(name, f"{height} x {width}", *(f"{count / 1e6:,.2f}" for count in counts))
    open_console().print(table)


if __name__ == "__main__":
    main()
