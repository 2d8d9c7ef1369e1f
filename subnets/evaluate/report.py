"""The score of one network, and tables, CSV and plot of several side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.table import Table

from supernet.cost import Passes, count_macs, count_params, scored_macs
from supernet.data.annotations.records import Skipped
from supernet.errors import InputError
from supernet.evaluation import Evaluation
from supernet.family import Architecture
from supernet.pose.diagnosis import COLOURS, JOINT_TYPES, Diagnosis
from supernet.pose.protocols import main_metric
from supernet.runs.files import atomic_path, write_json, write_text

SCHEMA = 3
# In the diagnosis, AP as it is.
AS_IT_IS = "as it is"


@dataclass(frozen=True)
class NetScore:
    """One row of the comparison.

    Attributes:
        name: the network's.
        stats: the protocol's metrics in 0..1.
        macs: exact MACs at the square input.
        scored_macs: exact MACs of all that the test ran for an image: flip, scales, the images' mean shape.
        macs_litepose: by the paper's counting.
        params: trainable parameters.
        images: scored.
        milliseconds: of network and decoding per image (mean over the run; preparation left out).
        decoding_milliseconds: of them those of decoding, from outputs to people.
        diagnosis: what is wrong with the poses (`supernet.pose.diagnosis.Diagnosis.to_dict`).
        environment: runtime, threads, protocol.
        skipped: records of the split that were left out (`data.on_error=skip`): source, record, reason.
        sources: the metrics on the images of each source alone, where there are several.
    """

    name: str
    stats: dict[str, float]
    macs: int
    scored_macs: float
    macs_litepose: int
    params: int
    images: int
    milliseconds: float
    decoding_milliseconds: float
    diagnosis: dict[str, Any]
    environment: dict[str, Any]
    skipped: list[dict[str, str]] = field(default_factory=list)
    sources: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], where: str) -> NetScore:
        """What `to_dict` gave.

        Raises:
            InputError: another schema, a missing key, or a value of another kind.
        """
        fields = dict(value) if isinstance(value, Mapping) else {}
        if fields.pop("schema", None) != SCHEMA:
            raise InputError(f"{where}: its schema is not known here ({SCHEMA} is); remove it to score again")
        try:
            score = cls(**fields)
            joints = [joint[kind] for joint in score.diagnosis["joints"].values() for kind in JOINT_TYPES]
            people = [score.diagnosis[key] for key in ("people", "matched", "background", "misordered")]
            counts = [score.macs, score.macs_litepose, score.params, score.images, *joints, *people]
            metrics = dict(score.diagnosis["metrics"])
            numbers = [metrics[AS_IT_IS], *metrics.values(), *score.stats.values(), score.scored_macs]
            numbers += [score.milliseconds, score.decoding_milliseconds]
            kinds = ((score.name, str), (score.environment, Mapping), (score.skipped, list))
            whole = all(isinstance(one, kind) for one, kind in kinds) and len(score.stats) > 0
            whole = whole and all(type(count) is int for count in counts)
            whole = whole and all(type(number) in (int, float) for number in numbers)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise InputError(f"{where} is no score of a network ({error})") from None
        if not whole:
            raise InputError(f"{where} is no score of a network; remove it to score again")
        return score

    def kind_shares(self) -> dict[str, float]:
        """The share of each kind of error over all joints of matched people."""
        joints = self.diagnosis["joints"].values()
        counts = {kind: sum(joint[kind] for joint in joints) for kind in JOINT_TYPES}
        total = max(1, sum(counts.values()))
        return {kind: count / total for kind, count in counts.items()}

    def placed(self, joint: str) -> float:
        """The share of one joint that is in place or near."""
        counts = self.diagnosis["joints"][joint]
        return float((counts["good"] + counts["jitter"]) / max(1, sum(counts[kind] for kind in JOINT_TYPES)))


def net_score(
    name: str,
    arch: Architecture,
    result: Evaluation,
    passes: Passes,
    diagnosis: Diagnosis,
    images: int,
    environment: Mapping[str, Any],
    skipped: Sequence[Skipped] = (),
    sources: Mapping[str, dict[str, float]] | None = None,
) -> NetScore:
    """Put together a row."""
    num_joints = len(diagnosis.joints)
    return NetScore(
        name=name,
        stats=dict(result.stats),
        macs=count_macs(arch, num_joints),
        scored_macs=scored_macs(arch, passes, num_joints),
        macs_litepose=count_macs(arch, num_joints, "litepose"),
        params=count_params(arch, num_joints),
        images=images,
        milliseconds=1000 * result.seconds / images,
        decoding_milliseconds=1000 * result.decoding / images,
        diagnosis=diagnosis.to_dict(),
        environment=dict(environment),
        skipped=[asdict(fault) for fault in skipped],
        sources=dict(sources or {}),
    )


def csv_text(scores: Sequence[NetScore]) -> str:
    """All rows as CSV with one column per metric."""
    metrics = list(scores[0].stats)
    times = ("milliseconds", "decoding_milliseconds")
    costs = ("macs", "scored_macs", "macs_litepose", "params", "images", *times)
    people = ("people", "matched", "background", "misordered")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", *metrics, *costs, *people, *JOINT_TYPES, "skipped"])
    for score in scores:
        values = [f"{score.stats[key]:.6f}" for key in metrics]
        values += [str(getattr(score, key)) for key in costs]
        values += [str(score.diagnosis[key]) for key in people]
        values += [f"{share:.6f}" for share in score.kind_shares().values()]
        table.writerow([score.name, *values, len(score.skipped)])
    return text.getvalue()


def tables(scores: Sequence[NetScore], title: str) -> list[Table]:
    """Metrics, costs, kinds of error, what they cost, and joints."""
    return [
        metric_table(scores, title),
        *([source_table(scores)] if scores[0].sources else []),
        cost_table(scores),
        error_table(scores),
        gain_table(scores),
        joint_table(scores),
    ]


def metric_table(scores: Sequence[NetScore], title: str) -> Table:
    """The protocol's metrics in percent; the best of several in bold."""
    table = _table(f"{title}, %", scores[0].stats)
    best = {key: max(score.stats[key] for score in scores) for key in scores[0].stats}
    for score in scores:
        cells = []
        for key, value in score.stats.items():
            text = f"{100 * value:.1f}" if value >= 0 else "-"
            cells.append(f"[bold]{text}[/bold]" if len(scores) > 1 and value == best[key] else text)
        table.add_row(score.name, *cells)
    return table


def source_table(scores: Sequence[NetScore]) -> Table:
    """The main metric on the images of each source alone, in percent."""
    metric = main_metric(scores[0].stats)[0]
    table = _table(f"{metric} by source, %", scores[0].sources)
    for score in scores:
        table.add_row(score.name, *(f"{100 * found[metric]:.1f}" for found in score.sources.values()))
    return table


def cost_table(scores: Sequence[NetScore]) -> Table:
    """MACs of one square pass by both conventions and of the test, parameters, and time per image."""
    columns = ("GMACs", "as scored", "as in the paper", "M parameters", "ms/image", "decoding", "runtime")
    table = _table("cost of one square pass and of the test for an image, and its time", columns)
    for score in scores:
        macs = (f"{count / 1e9:.3f}" for count in (score.macs, score.scored_macs, score.macs_litepose))
        times = (f"{time:.1f}" for time in (score.milliseconds, score.decoding_milliseconds))
        runtime = str(score.environment.get("runtime"))
        table.add_row(score.name, *macs, f"{score.params / 1e6:.3f}", *times, runtime)
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
    kinds = [kind for kind in scores[0].diagnosis["metrics"] if kind != AS_IT_IS]
    table = _table("AP that each kind of error costs, percentage points", kinds)
    for score in scores:
        metrics = score.diagnosis["metrics"]
        table.add_row(score.name, *(f"{100 * (metrics[kind] - metrics[AS_IT_IS]):+.1f}" for kind in kinds))
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
    """Three panels: AP against MACs, the metrics, and the kinds of error."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2 + 0.18 * len(scores)), layout="constrained")
    cost, bars, kinds = figure.subplots(1, 3, width_ratios=(1, 1.5, 1))
    _draw_costs(cost, scores)
    _draw_metrics(bars, scores)
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


def _draw_metrics(axes: Any, scores: Sequence[NetScore]) -> None:
    width = 0.8 / len(scores)
    for index, score in enumerate(scores):
        places = [place - 0.4 + (index + 0.5) * width for place in range(len(score.stats))]
        values = [100 * max(0.0, value) for value in score.stats.values()]
        axes.bar(places, values, width, color=f"C{index % 10}", label=score.name)
    axes.set_xticks(range(len(scores[0].stats)), list(scores[0].stats), rotation=45, ha="right")
    axes.set(ylabel="%", title="metrics", ylim=(0, 100))
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
