"""Table and plot of measured latencies."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from supernet.files import atomic_path

from .timing import Timing


def latency_table(rows: Sequence[Mapping[str, Any]], what: str) -> Table:
    """One row per network and runtime; ratios are to the first row."""
    table = Table(title=f"{what}: ms per call, {rows[0]['rounds']} interleaved rounds")
    for name in ("network", "runtime", "input", "GMACs", "median", "10% to 90%", "fastest", "ratio"):
        table.add_column(name, justify="left" if name in ("network", "runtime") else "right")
    first = rows[0]["median"]
    for row in rows:
        spread = f"{row['p10']:.1f} to {row['p90']:.1f}"
        height, width = row["input_shape"]
        cells = (f"{row['macs'] / 1e9:.3f}", f"{row['median']:.1f}", spread, f"{row['best']:.1f}")
        ratio = f"{row['median'] / first:.2f}"
        table.add_row(row["network"], row["runtime"], f"{height} x {width}", *cells, ratio)
    return table


def draw(path: Path, timings: Sequence[Timing], what: str) -> None:
    """A box for each candidate, with all its rounds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.45 * len(timings)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = [timing.milliseconds for timing in timings]
    axes.boxplot(values, orientation="horizontal", widths=0.6, whis=(10, 90), showfliers=False)
    for place, milliseconds in enumerate(values, start=1):
        axes.plot(milliseconds, [place] * len(milliseconds), "|", color="C0", alpha=0.4, markersize=9)
    axes.set_yticks(range(1, len(timings) + 1), [timing.name for timing in timings])
    axes.invert_yaxis()
    axes.set(xlabel="ms per call (box: quartiles, whiskers: 10% to 90%)", title=what, xlim=(0, None))
    axes.grid(axis="x", alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
