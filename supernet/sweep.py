"""`python -m supernet.sweep`: one table and one picture over the runs of a multirun."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from .cli import launch

# Of a table that goes to a file or another program.
PLAIN_WIDTH = 140


@dataclass
class SweepCommand:
    """Settings of the command.

    Attributes:
        runs: the folder of the multirun, such as runs/train/lr.
        metric: the figure to rank by; null takes the best AP if the runs were validated, else a loss.
    """

    runs: str = "???"
    metric: str | None = None


def main() -> None:
    """Run the command."""
    launch("sweep", SweepCommand, run)


def run(config: SweepCommand, folder: Path) -> None:
    """Print the table, write `sweep.csv` and `sweep.png` into the folder of the multirun."""
    from rich.console import Console

    from .sweep_summary import CSV_FILE
    from .sweep_summary import PLOT_FILE
    from .sweep_summary import choose_metric
    from .sweep_summary import draw_sweep
    from .sweep_summary import ranked
    from .sweep_summary import read_sweep
    from .sweep_summary import summary_table
    from .sweep_summary import write_csv

    sweep = Path(config.runs)
    runs = read_sweep(sweep)
    metric = choose_metric(runs, config.metric)
    runs = ranked(runs, metric)
    write_csv(runs, sweep / CSV_FILE)
    draw_sweep(runs, metric, sweep / PLOT_FILE)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print(summary_table(runs, metric))
    console.print(f"written: {sweep / CSV_FILE}, {sweep / PLOT_FILE}", soft_wrap=True)


if __name__ == "__main__":
    main()
