"""`python -m subnets.costs`: parameters and multiply-accumulates of LitePose and comparison networks."""

from __future__ import annotations

from pathlib import Path

from supernet.cli import launch

from .costs_options import CostsCommand
from .export_options import as_list


def main() -> None:
    """Run the command."""
    launch("costs", CostsCommand, run)


def run(config: CostsCommand, folder: Path) -> None:
    """Print the table."""
    from rich.table import Table

    from supernet.cost_table import millions
    from supernet.names import conf_names

    from .any_arch import input_shape_of
    from .any_arch import load_arch
    from .any_arch import macs_of
    from .any_arch import params_of
    from .baselines.arch import GROUP
    from .console import open_console

    shape = config.input_shape
    shipped = [*conf_names("zoo"), *conf_names(GROUP)]
    table = Table(title=f"{config.num_joints} joints, one image (millions)")
    for name in ("network", "input", "params", "MACs (exact)", "MACs (litepose)"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for name in shipped if config.arch is None else as_list(config.arch, "arch"):
        arch = load_arch(name)
        height, width = input_shape_of(arch) if shape is None else (shape[0], shape[1])
        macs = [macs_of(arch, config.num_joints, each, (height, width)) for each in ("exact", "litepose")]
        params = params_of(arch, config.num_joints)
        table.add_row(name, f"{height} x {width}", *map(millions, (params, *macs)))
    open_console().print(table)


if __name__ == "__main__":
    main()
