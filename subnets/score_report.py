"""Tables, CSV and plot of several networks' scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from supernet.files import atomic_path
from supernet.files import write_json
from supernet.files import write_text

from .error_analysis import KINDS
from .scores import SCHEMA
from .scores import NetScore
from .scores import csv_text


def figure_table(scores: Sequence[NetScore], title: str) -> Table:
    """The protocol's figures in percent; the best of several in bold."""
    table = Table(title=f"{title}, %")
    table.add_column("network")
    for name in scores[0].stats:
        table.add_column(name, justify="right", no_wrap=True)
    best = {key: max(score.stats[key] for score in scores) for key in scores[0].stats}
    for score in scores:
        cells = []
        for key, value in score.stats.items():
            text = f"{100 * value:.1f}" if value >= 0 else "-"
            cells.append(f"[bold]{text}[/bold]" if len(scores) > 1 and value == best[key] else text)
        table.add_row(score.name, *cells)
    return table


def cost_table(scores: Sequence[NetScore]) -> Table:
    """MACs by both conventions, parameters, and time per image."""
    table = Table(title="cost at the square input, and time of network and grouping")
    for name in ("network", "GMACs", "GMACs as in the paper", "M parameters", "ms/image", "runtime"):
        table.add_column(name, justify="left" if name in ("network", "runtime") else "right")
    for score in scores:
        costs = (f"{score.macs / 1e9:.3f}", f"{score.macs_litepose / 1e9:.3f}", f"{score.params / 1e6:.3f}")
        table.add_row(score.name, *costs, f"{score.milliseconds:.1f}", str(score.conditions.get("runtime")))
    return table


def error_table(scores: Sequence[NetScore]) -> Table:
    """People found, and the kinds of error over all joints, in percent."""
    table = Table(
        title="people found (OKS 0.1), false alarms, and the joints of found people by kind of error, %"
    )
    table.add_column("network")
    for name in ("people", "found", "false alarms", *KINDS):
        table.add_column(name, justify="right")
    for score in scores:
        found = f"{100 * score.found / max(1, score.people):.1f}"
        shares = (f"{100 * share:.1f}" for share in kind_shares(score))
        table.add_row(score.name, str(score.people), found, str(score.unmatched), *shares)
    return table


def kind_shares(score: NetScore) -> list[float]:
    """The share of each kind of error over all joints."""
    total = max(1, sum(row["labelled"] for row in score.joints))
    return [sum(row[kind] * row["labelled"] for row in score.joints) / total for kind in KINDS]


def joint_table(scores: Sequence[NetScore]) -> Table:
    """Per joint the share in place or near, in percent."""
    table = Table(title="Joints in place or near, % of the labelled ones of found people")
    table.add_column("joint")
    for score in scores:
        table.add_column(score.name, justify="right")
    for rows in zip(*(score.joints for score in scores), strict=True):
        table.add_row(rows[0]["joint"], *(f"{100 * (row['good'] + row['jitter']):.1f}" for row in rows))
    return table


def write_report(folder: Path, scores: Sequence[NetScore]) -> None:
    """Write `results.json`, `results.csv` and `results.png` into `folder`."""
    write_json(folder / "results.json", {"schema": SCHEMA, "networks": [score.to_dict() for score in scores]})
    write_text(folder / "results.csv", csv_text(scores))
    draw(folder / "results.png", scores)


def draw(path: Path, scores: Sequence[NetScore]) -> None:
    """Three panels: AP against MACs, the figures, and the kinds of error."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2 + 0.18 * len(scores)), layout="constrained")
    FigureCanvasAgg(figure)
    cost, bars, kinds = figure.subplots(1, 3, width_ratios=(1, 1.5, 1))
    names = [score.name for score in scores]
    for index, score in enumerate(scores):
        colour = f"C{index % 10}"
        cost.scatter(score.macs / 1e9, 100 * score.stats["AP"], color=colour, zorder=3)
        cost.annotate(
            score.name,
            (score.macs / 1e9, 100 * score.stats["AP"]),
            (4, 5),
            textcoords="offset points",
            fontsize=8,
        )
        width = 0.8 / len(scores)
        places = [place - 0.4 + (index + 0.5) * width for place in range(len(score.stats))]
        bars.bar(
            places,
            [100 * max(0.0, value) for value in score.stats.values()],
            width,
            color=colour,
            label=score.name,
        )
    cost.set(xlabel="GMACs (exact, square input)", ylabel="AP, %", title="accuracy and cost")
    cost.margins(x=0.25, y=0.15)
    cost.grid(alpha=0.3)
    bars.set_xticks(range(len(scores[0].stats)), list(scores[0].stats), rotation=45, ha="right")
    bars.set(ylabel="%", title="figures", ylim=(0, 100))
    bars.grid(axis="y", alpha=0.3)
    bars.legend(fontsize=8)
    left = [0.0] * len(scores)
    for kind, colour in zip(KINDS, ("#2a9d55", "#a6d48a", "#e9b44c", "#d9733f", "#9a9a9a"), strict=True):
        shares = [100 * kind_shares(score)[KINDS.index(kind)] for score in scores]
        kinds.barh(names, shares, left=left, color=colour, label=kind)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    kinds.invert_yaxis()
    kinds.set(xlabel="joints of found people, %", title="kinds of error", xlim=(0, 100))
    figure.legend(*kinds.get_legend_handles_labels(), fontsize=8, loc="outside lower right", ncols=5)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
