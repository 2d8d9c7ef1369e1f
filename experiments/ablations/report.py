"""Tables, intervals, verdicts and pictures of the runs that are finished.

    python -m experiments.ablations.report

Writes results.json, report.md and one picture per ablation beside this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.ablations.pictures import draw
from experiments.ablations.plan import RECIPE
from experiments.ablations.plan import Ablation
from experiments.ablations.plan import Run
from experiments.ablations.plan import ablations
from experiments.ablations.plan import data_root
from experiments.ablations.results import Difference
from experiments.ablations.results import by_image
from experiments.ablations.results import by_seed
from experiments.ablations.results import is_finished
from experiments.ablations.results import read_run
from subnets.timing import conditions
from supernet.files import write_json
from supernet.files import write_text

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Claim:
    """What the paper says of two networks: `better` has the higher AP.

    Attributes:
        paper: the paper's figures, or that it gives none.
    """

    worse: str
    better: str
    paper: str


CLAIMS = {
    "kernel": (
        Claim("kernel3", "kernel5", "41.7 to 50.7"),
        Claim("kernel5", "kernel7", "50.7 to 54.7"),
        Claim("kernel3", "kernel7", "41.7 to 54.7"),
        Claim("kernel9", "kernel7", "53.3 to 54.7"),
    ),
    "fusion": (
        Claim("plain", "kernel7", "47.1 to 54.7"),
        Claim("no_fusion", "kernel7", "no figure"),
    ),
    "raw_outputs": (Claim("no_raw_outputs", "kernel7", "no figure"),),
    "shrinking": (
        Claim("multi_branch", "shrunk", "higher, no figure"),
        Claim("shrunk", "single_branch", "higher, no figure"),
        Claim("multi_branch", "single_branch", "higher, no figure"),
    ),
}


def verdict(claim_holds: Sequence[Difference]) -> str:
    """Both intervals must leave no doubt, and point the same way."""
    signs = {difference.sign for difference in claim_holds}
    return {frozenset({1}): "agrees", frozenset({-1}): "disagrees"}.get(frozenset(signs), "cannot tell")


def compare(ablation: Ablation, claim: Claim, rows: dict[Run, dict[str, Any]]) -> dict[str, Any] | None:
    """One claim on the seeds that both networks have; None if there are not two."""
    pairs = [
        [next((run for run in rows if (run.arm, run.seed) == (arm, seed)), None) for seed in ablation.seeds]
        for arm in (claim.worse, claim.better)
    ]
    both = [(a, b) for a, b in zip(*pairs, strict=True) if a is not None and b is not None]
    if len(both) < 2:
        return None
    worse, better = zip(*both, strict=True)
    truth = data_root() / "json" / "crowdpose_val.json"
    seeds = by_seed([rows[run]["AP"] for run in worse], [rows[run]["AP"] for run in better])
    images = by_image(worse, better, truth)
    return {
        **asdict(claim),
        "seeds": len(both),
        "difference": seeds.value,
        "over_seeds": [seeds.low, seeds.high],
        "over_images": [images.low, images.high],
        "loss": asdict(by_seed([rows[run]["loss"] for run in worse], [rows[run]["loss"] for run in better])),
        "verdict": verdict([seeds, images]),
    }


def arm_rows(ablation: Ablation, rows: dict[Run, dict[str, Any]]) -> list[dict[str, Any]]:
    """Per network its costs, and its figures of every seed that is finished."""
    found = []
    for arm in ablation.arms:
        mine = [row for run, row in sorted(rows.items(), key=lambda pair: pair[0].seed) if run.arm == arm]
        if mine:
            figures = {key: [row[key] for row in mine] for key in ("seed", "AP", "AP50", "AR", "loss")}
            found.append({"arm": arm, "params": mine[0]["params"], "macs": mine[0]["macs"], **figures})
    return found


def table(arms: list[dict[str, Any]], claims: list[dict[str, Any]]) -> str:
    """Both tables of an ablation in Markdown."""
    lines = [
        "| network | MACs | parameters | AP per seed | AP | AP50 | training loss |",
        "|---|---|---|---|---|---|---|",
    ]
    for arm in arms:
        each = " ".join(f"{100 * value:.1f}" for value in arm["AP"])
        means = [sum(arm[key]) / len(arm[key]) for key in ("AP", "AP50", "loss")]
        lines.append(
            f"| {arm['arm']} | {arm['macs'] / 1e6:.1f} M | {arm['params']:,} | {each} | {100 * means[0]:.1f} "
            f"| {100 * means[1]:.1f} | {means[2]:.4f} |"
        )
    lines += [
        "",
        "| from, to | paper | here, points of AP | over seeds | over images | training loss | verdict |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for claim in claims:
        spans = [_span(100 * low, 100 * high) for low, high in (claim["over_seeds"], claim["over_images"])]
        loss = claim["loss"]
        lines.append(
            f"| {claim['worse']}, {claim['better']} | {claim['paper']} | {100 * claim['difference']:+.1f} "
            f"| {spans[0]} | {spans[1]} | {loss['value']:+.4f} ({_span(loss['low'], loss['high'], 4)}) "
            f"| {claim['verdict']} |"
        )
    return "\n".join(lines)


def _span(low: float, high: float, digits: int = 1) -> str:
    return f"{low:+.{digits}f} to {high:+.{digits}f}"


def main() -> None:
    document: dict[str, Any] = {"schema": 1, "machine": conditions(1), "recipe": RECIPE, "ablations": {}}
    text = []
    for name, ablation in ablations().items():
        all_runs = [Run(arch, seed) for arch in ablation.archs for seed in ablation.seeds]
        rows = {run: read_run(run) for run in all_runs if is_finished(run)}
        if not rows:
            continue
        arms = arm_rows(ablation, rows)
        claims = [found for claim in CLAIMS[name] if (found := compare(ablation, claim, rows)) is not None]
        document["ablations"][name] = {"networks": arms, "claims": claims}
        draw(HERE / f"{name}.png", arms, claims)
        text.append(f"## {name}\n\n{table(arms, claims)}\n\n![{name}]({name}.png)\n")
        print(f"{name}: {len(rows)} of {len(all_runs)} runs")
    write_json(HERE / "results.json", document)
    write_text(HERE / "report.md", "\n".join(text))


if __name__ == "__main__":
    main()
