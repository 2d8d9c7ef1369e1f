"""Tables, intervals, verdicts and pictures of the runs that are finished.

    python -m experiments.ablations.report            # into runs/ablations/report/
    python -m experiments.ablations.report --record   # beside this file, once all runs are finished

Writes results.json, report.md and one picture per ablation.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.ablations.claims import Claim, claims_of, verdict
from experiments.ablations.pictures import draw
from experiments.ablations.plan import Ablation, Run, ablations
from experiments.ablations.results import by_image, by_seed, ground_truth, read_run, require_equal_budgets
from supernet.cli import fail
from supernet.errors import InputError
from supernet.runs.environment import environment
from supernet.runs.files import write_json, write_text

RECORD = Path(__file__).resolve().parent
PREVIEW = Path("runs/ablations/report")
METRICS = ("seed", "AP", "AP50", "AR", "loss", "steps", "seconds", "recipe")

Rows = dict[Run, dict[str, Any]]


def compare(ablation: Ablation, claim: Claim, rows: Rows) -> dict[str, Any] | None:
    """One claim on the seeds that both networks have; None if there are not two."""
    of = {(run.arm, run.seed): run for run in rows}
    seeds = [s for s in ablation.seeds if (claim.first, s) in of and (claim.second, s) in of]
    if len(seeds) < 2:
        return None
    first, second = ([of[arm, seed] for seed in seeds] for arm in (claim.first, claim.second))
    over = {
        key: by_seed([rows[run][key] for run in first], [rows[run][key] for run in second])
        for key in ("AP", "loss")
    }
    images = by_image(first, second, ground_truth(first[0]))
    return {
        **asdict(claim),
        "seeds": len(seeds),
        "difference": over["AP"].value,
        "over_seeds": [over["AP"].low, over["AP"].high],
        "over_images": [images.low, images.high],
        "loss": asdict(over["loss"]),
        "verdict": verdict(claim, [over["AP"], images]),
    }


def arm_rows(ablation: Ablation, rows: Rows) -> list[dict[str, Any]]:
    """Per network its costs, and its metrics of every seed that is finished."""
    found = []
    for arm in ablation.arms:
        mine = [row for run, row in sorted(rows.items(), key=lambda pair: pair[0].seed) if run.arm == arm]
        if mine:
            metrics = {key: [row[key] for row in mine] for key in METRICS}
            found.append({"arm": arm, "params": mine[0]["params"], "macs": mine[0]["macs"], **metrics})
    return found


def table(arms: list[dict[str, Any]], claims: list[dict[str, Any]]) -> str:
    """Both tables of an ablation in Markdown."""
    lines = [
        "| network | MACs | parameters | steps | seconds | AP per seed | AP | AP50 | training loss |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        each = " ".join(f"{100 * value:.1f}" for value in arm["AP"])
        means = [statistics.mean(arm[key]) for key in ("AP", "AP50", "loss")]
        lines.append(
            f"| {arm['arm']} | {arm['macs'] / 1e6:.1f} M | {arm['params']:,} | {arm['steps'][0]:,} "
            f"| {statistics.median(arm['seconds']):.0f} | {each} | {100 * means[0]:.1f} "
            f"| {100 * means[1]:.1f} | {means[2]:.4f} |"
        )
    if not claims:
        return "\n".join(lines)
    lines += [
        "",
        "| from, to | paper | here, points of AP | over seeds | over images | training loss | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for claim in claims:
        spans = [_span(100 * low, 100 * high) for low, high in (claim["over_seeds"], claim["over_images"])]
        loss = claim["loss"]
        lines.append(
            f"| {claim['first']}, {claim['second']} | {claim['paper'] or 'says nothing'} "
            f"| {100 * claim['difference']:+.1f} | {spans[0]} | {spans[1]} "
            f"| {loss['value']:+.4f} ({_span(loss['low'], loss['high'], 4)}) | {claim['verdict']} |"
        )
    return "\n".join(lines)


def _span(low: float, high: float, digits: int = 1) -> str:
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def report(chosen: dict[str, Ablation], folder: Path, need_all: bool) -> None:
    """Write the report of the finished runs to `folder`.

    Raises:
        InputError: no run is finished, or not all where `need_all`; or the runs of an ablation differ in
            steps or recipe. Nothing is written then.
    """
    document: dict[str, Any] = {"schema": 2, "machine": environment(1), "ablations": {}}
    for name, ablation in chosen.items():
        rows = {run: read_run(run) for run in ablation.runs if run.is_finished}
        missing = [run.name for run in ablation.runs if run not in rows]
        if missing and need_all:
            raise InputError(f"{name}: {len(missing)} runs are not finished ({missing[0]}, ...)")
        if rows:
            require_equal_budgets(rows)
            claims = [c for claim in claims_of(name) if (c := compare(ablation, claim, rows)) is not None]
            document["ablations"][name] = {"networks": arm_rows(ablation, rows), "claims": claims}
            print(f"{name}: {len(rows)} of {len(ablation.runs)} runs")
    if not document["ablations"]:
        raise InputError("no run is finished in runs/; start python -m experiments.ablations.run")
    text = []
    for name, found in document["ablations"].items():
        draw(folder / f"{name}.png", found["networks"], found["claims"])
        text.append(f"## {name}\n\n{table(found['networks'], found['claims'])}\n\n![{name}]({name}.png)\n")
    write_json(folder / "results.json", document)
    write_text(folder / "report.md", "\n".join(text))
    print(f"report: {folder / 'report.md'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--record", action="store_true", help="replace the record beside this file")
    known = ablations()
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), help="some of the ablations")
    given = parser.parse_args()
    if given.record and set(given.only) != set(known):
        parser.error("--record replaces the record of all ablations; leave --only out")
    chosen = {name: known[name] for name in given.only}
    try:
        report(chosen, RECORD if given.record else PREVIEW, need_all=given.record)
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main()
