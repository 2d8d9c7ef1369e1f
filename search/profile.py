"""`python -m search.profile`: measure a device, so that searches can be given budgets in milliseconds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.cli import launch
from supernet.errors import InputError
from supernet.runs.folders import hold_run_folder

from .devices.options import ProfileCommand

if TYPE_CHECKING:
    from .devices.measurements import Measurements
    from .devices.profiling import Design


def main() -> None:
    """Run the command."""
    launch("profile", ProfileCommand, run)


def run(config: ProfileCommand, folder: Path) -> None:
    """Measure, and write the table into `folder`; or say that it is there already."""
    from supernet.space import SearchSpace

    from .costs.latency import FILE
    from .devices.profiling import FEW_PARTS, make_design, open_prior

    space = SearchSpace.load(config.space)
    prior = open_prior(config.device, space, config.num_joints)
    wanted = config.measure.parts
    sizes = replace(config.measure, parts=None) if prior else config.measure
    design = make_design(space, config.num_joints, sizes, config.seed)
    if prior is not None:
        design = design.few_parts(space, config.num_joints, wanted or FEW_PARTS)
    table = folder / FILE
    with hold_run_folder(folder, config, ("device.csv", "device.label")) as resumed:
        if resumed and table.exists():
            print(
                f"{table} is there already; remove the folder, or choose another name=..., to measure again"
            )
        elif config.device.runtime == "board" and config.device.csv is None:
            write_board_folder(config, space_folder=folder / "board", design=design)
            return
        else:
            measure(config, design, prior).save(table)
        summary(table, folder)


def write_board_folder(config: ProfileCommand, space_folder: Path, design: Design) -> None:
    """Write the folder to take to the board, and say how it goes on."""
    from supernet.space import SearchSpace

    from .devices.board import write_board

    if not space_folder.exists():
        write_board(space_folder, SearchSpace.load(config.space), config.num_joints, design)
    print(
        f"take {space_folder} to the board, run `python measure.py` there, bring measured.csv back, then "
        "repeat this command with device.csv=measured.csv"
    )


def measure(config: ProfileCommand, design: Design, prior: Measurements | None) -> Measurements:
    """Time the design here, or read what a board brought back."""
    from supernet.runs.progress import ProgressBar
    from supernet.space import SearchSpace

    from .devices.board import read_board
    from .devices.profiling import measure_design

    space, device = SearchSpace.load(config.space), config.device
    if device.runtime == "board":
        if device.csv is None:
            raise InputError("device=board needs device.csv=measured.csv")
        return read_board(device.csv, space, config.num_joints, design, device, prior)
    total = config.measure.rounds * (len(design.parts) + len(design.archs))
    with ProgressBar("measuring", total) as bar:
        return measure_design(space, config.num_joints, design, device, config.measure, bar.update, prior)


def summary(table: Path, folder: Path) -> None:
    """Say how well the table predicts networks that it was not fitted to, and draw it."""
    from supernet.runs.files import write_bytes

    from .costs.latency import check_table, draw_check
    from .devices.measurements import Measurements

    check = check_table(Measurements.load(table).steady())
    write_bytes(folder / "latency.png", draw_check(check))
    print(f"{table}: {check.shown()}", file=sys.stdout)
    if check.warning:
        print(f"warning: {check.warning}", file=sys.stderr)


if __name__ == "__main__":
    main()
