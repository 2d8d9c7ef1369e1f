"""`python -m subnets.costs`: parameters and multiply-accumulates of LitePose and comparison networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supernet.cli import launch
from supernet.options import CommandOptions, check_shape, option

from .options import as_list


@dataclass
class CostsCommand(CommandOptions):
    """Settings of the command.

    Attributes:
        arch: networks by name, description or folder; null lists all that ship.
        num_joints: J.
        input_shape: [height, width] for all; null takes each one's own.
    """

    arch: Any = None
    num_joints: int = option(14, least=1)
    input_shape: list[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape("input_shape", self.input_shape)


def main() -> None:
    """Run the command."""
    launch("costs", CostsCommand, run)


def run(config: CostsCommand, folder: Path) -> None:
    """Print the table."""
    from rich.table import Table

    from supernet.cost import count_macs, count_params
    from supernet.family import load_arch
    from supernet.registry import conf_names

    from .console import open_console

    shape = config.input_shape
    shipped = [*conf_names("zoo"), *conf_names("baselines")]
    table = Table(title=f"{config.num_joints} joints, one image (millions)")
    for name in ("network", "input", "params", "MACs (exact)", "MACs (litepose)"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for name in shipped if config.arch is None else as_list(config.arch, "arch"):
        arch = load_arch(name)
        height, width = arch.input_shape if shape is None else (shape[0], shape[1])
        macs = [count_macs(arch, config.num_joints, each, (height, width)) for each in ("exact", "litepose")]
        params = count_params(arch, config.num_joints)
        table.add_row(name, f"{height} x {width}", *(f"{count / 1e6:,.2f}" for count in (params, *macs)))
    open_console().print(table)


if __name__ == "__main__":
    main()
