"""Tables, CSV and plot of several networks' scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from supernet.pose.diagnosis import COLOURS, JOINT_TYPES
from supernet.pose.protocols import main_metric
from supernet.runs.files import atomic_path, write_json, write_text

from .scores import SCHEMA, NetScore, csv_text

# In the diagnosis, AP as it is.
AS_IT_IS = "as it is"


def tables(scores: Sequence[NetScore], title: str) -> list[Table]:
    """Figures, costs, kinds of error, what they cost, and joints."""
    return [
        figure_table(scores, title),
        cost_table(scores),
        error_table(scores),
        gain_table(scores),
        joint_table(scores),
    ]


def figure_table(scores: Sequence[NetScore], title: str) -> Table:
    """The protocol's figures in percent; the best of several in bold."""
    table = _table(f"{title}, %", scores[0].stats)
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
    columns = ("GMACs", "GMACs as in the paper", "M parameters", "ms/image", "runtime")
    table = _table("cost at the square input, and time of network and grouping", columns)
    for score in scores:
        costs = (f"{score.macs / 1e9:.3f}", f"{score.macs_litepose / 1e9:.3f}", f"{score.params / 1e6:.3f}")
        table.add_row(score.name, *costs, f"{score.milliseconds:.1f}", str(score.conditions.get("runtime")))
    return table


def error_table(scores: Sequence[NetScore]) -> Table:
    """People found, and the kinds of error over all joints, in percent."""
    columns = ("people", "found", "false alarms", *JOINT_TYPES)
    table = _table(
        "people found (OKS 0.1), false alarms, joints of found people by kind of error, %", columns
    )
    for score in scores:
        people, matched = score.diagnosis["people"], score.diagnosis["matched"]
        shares = (f"{100 * share:.1f}" for share in score.kind_shares().values())
        found = f"{100 * matched / max(1, people):.1f}"
        table.add_row(score.name, str(people), found, str(score.diagnosis["background"]), *shares)
    return table


def gain_table(scores: Sequence[NetScore]) -> Table:
    """What AP would gain without each kind of error, in percentage points."""
    kinds = [kind for kind in scores[0].diagnosis["figures"] if kind != AS_IT_IS]
    table = _table("AP that each kind of error costs, percentage points", kinds)
    for score in scores:
        figures = score.diagnosis["figures"]
        table.add_row(score.name, *(f"{100 * (figures[kind] - figures[AS_IT_IS]):+.1f}" for kind in kinds))
    return table


def joint_table(scores: Sequence[NetScore]) -> Table:
    """Per joint the share in place or near, in percent."""
    table = Table(title="joints in place or near, % of the labelled ones of found people")
    table.add_column("joint")
    for score in scores:
        table.add_column(score.name, justify="right")
    for joint in scores[0].diagnosis["joints"]:
        table.add_row(joint, *(f"{100 * score.placed(joint):.1f}" for score in scores))
    return table


def _table(title: str, columns: Any) -> Table:
    table = Table(title=title)
    table.add_column("network")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def write_report(folder: Path, scores: Sequence[NetScore]) -> None:
    """Write `results.json`, `results.csv` and `results.png` into `folder`."""
    write_json(folder / "results.json", {"schema": SCHEMA, "networks": [score.to_dict() for score in scores]})
    write_text(folder / "results.csv", csv_text(scores))
    draw(folder / "results.png", scores)


def draw(path: Path, scores: Sequence[NetScore]) -> None:
    """Three panels: AP against MACs, the figures, and the kinds of error."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2 + 0.18 * len(scores)), layout="constrained")
    cost, bars, kinds = figure.subplots(1, 3, width_ratios=(1, 1.5, 1))
    _draw_costs(cost, scores)
    _draw_figures(bars, scores)
    left = [0.0] * len(scores)
    for kind in JOINT_TYPES:
        shares = [100 * score.kind_shares()[kind] for score in scores]
        kinds.barh([score.name for score in scores], shares, left=left, color=COLOURS[kind], label=kind)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    kinds.invert_yaxis()
    kinds.set(xlabel="joints of found people, %", title="kinds of error", xlim=(0, 100))
    figure.legend(*kinds.get_legend_handles_labels(), fontsize=8, loc="outside lower right", ncols=5)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_costs(axes: Any, scores: Sequence[NetScore]) -> None:
    for index, score in enumerate(scores):
        place = (score.macs / 1e9, 100 * main_metric(score.stats)[1])
        axes.scatter(*place, color=f"C{index % 10}", zorder=3)
        axes.annotate(score.name, place, (4, 5), textcoords="offset points", fontsize=8)
    metric, _ = main_metric(scores[0].stats)
    axes.set(xlabel="GMACs (exact, square input)", ylabel=f"{metric}, %", title="accuracy and cost")
    axes.margins(x=0.25, y=0.15)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.3)


def _draw_figures(axes: Any, scores: Sequence[NetScore]) -> None:
    width = 0.8 / len(scores)
    for index, score in enumerate(scores):
        places = [place - 0.4 + (index + 0.5) * width for place in range(len(score.stats))]
        values = [100 * max(0.0, value) for value in score.stats.values()]
        axes.bar(places, values, width, color=f"C{index % 10}", label=score.name)
    axes.set_xticks(range(len(scores[0].stats)), list(scores[0].stats), rotation=45, ha="right")
    axes.set(ylabel="%", title="figures", ylim=(0, 100))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
