"""Tables, ratios with intervals and the picture, from the rounds that `latency` measured.

    python -m experiments.paper_claims.report             # of runs/paper_claims/, to look at
    python -m experiments.paper_claims.report --record    # makes that measurement the record
    python -m experiments.paper_claims.report --record --folder experiments/paper_claims

The record is rounds_T.csv, environment_T.json, result.json, latency.png and a part of README.md, all beside
this file.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.paper_claims.estimates import network_rows, pair_rows
from experiments.paper_claims.rounds import RECORD, RUN, THREADS, Rounds, files, read_rounds
from experiments.paper_claims.tables import generated, put_into
from supernet.cli import fail
from supernet.errors import InputError
from supernet.runs.files import atomic_path, read_text, write_json, write_text

ALONE = ("lightweight-openpose",)
# Where a family's labels stand from their points, so that they do not meet.
LABELS = {"efficienthrnet": (-18, 4), "litepose": (6, -10), "lpn": (7, -4)}
SCHEMA = 2


def read_measured(folder: Path) -> dict[int, Rounds]:
    """The rounds of both thread counts, of one machine.

    Raises:
        InputError: one is missing, or they were taken in different environments.
    """
    measured = {threads: read_rounds(folder, threads) for threads in THREADS}
    kinds = [{**rounds.environment, "threads": None} for rounds in measured.values()]
    if any(kind != kinds[0] for kind in kinds):
        raise InputError(f"the thread counts in {folder} were measured in different environments")
    return measured


def draw(networks: list[dict[str, Any]], path: Path) -> None:
    """Latency over exact MACs, both logarithmic; a line joins a family."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for place, threads in enumerate(THREADS, start=1):
        axes = figure.add_subplot(1, 2, place)
        families: dict[str, list[dict[str, Any]]] = {}
        for row in networks:
            name = str(row["network"])
            families.setdefault(name if name in ALONE else name.rpartition("-")[0], []).append(row)
        for number, (family, rows) in enumerate(families.items()):
            _draw_family(axes, family, rows, threads, f"C{number}")
        axes.set(xscale="log", yscale="log")
        axes.margins(x=0.1)  # room for the last label
        axes.set_xlabel(
            "exact MACs, G (one image of the network's own input; LPN: one person's crop)", size=8
        )
        axes.set_ylabel(f"ms, onnxruntime, {threads} thread{'s' * (threads > 1)} (bars: 10% to 90%)")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_family(axes: Any, family: str, rows: list[dict[str, Any]], threads: int, color: str) -> None:
    rows = sorted(rows, key=lambda row: row["macs_exact"])
    found = [row[f"ms_{threads}"] for row in rows]
    x, y = [row["macs_exact"] / 1e9 for row in rows], [ms["median"] for ms in found]
    bars = ([ms["median"] - ms["p10"] for ms in found], [ms["p90"] - ms["median"] for ms in found])
    axes.errorbar(x, y, yerr=bars, marker="o", ms=5, capsize=2, color=color, label=family)
    for row, a, b in zip(rows, x, y, strict=True):
        text = "" if family in ALONE else str(row["network"]).rpartition("-")[2].upper()
        place = LABELS.get(family, (6, -10))
        axes.annotate(text, (a, b), xytext=place, textcoords="offset points", fontsize=8)


def write_results(folder: Path, networks: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> None:
    """result.json and latency.png."""
    write_json(folder / "result.json", {"schema": SCHEMA, "networks": networks, "pairs": pairs})
    draw(networks, folder / "latency.png")


def record(source: Path, target: Path, measured: Mapping[int, Rounds]) -> None:
    """Make the measurement in `source` the record in `target`; the README's own words stay.

    Raises:
        InputError: the README lacks the place for it, or intervals cannot be made; nothing is written then.
    """
    networks, pairs = network_rows(measured), pair_rows(measured)
    page = put_into(read_text(target / "README.md"), generated(measured, networks, pairs))
    for threads in measured:
        for old, new in zip(files(source, threads), files(target, threads), strict=True):
            with atomic_path(new) as temporary:
                shutil.copyfile(old, temporary)
    write_results(target, networks, pairs)
    write_text(target / "README.md", page)


def main() -> None:
    """Print the tables; with --record, make the measurement the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=RUN)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    try:
        measured = read_measured(given.folder)
        networks, pairs = network_rows(measured), pair_rows(measured)
        print(generated(measured, networks, pairs))
        if given.record:
            record(given.folder, RECORD, measured)
        else:
            write_results(given.folder, networks, pairs)
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main()
