"""The demo's report in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

METRICS = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")


def markdown(
    rows: Sequence[dict[str, Any]], images: int, best: dict[str, Any], machine: str, confidence: float
) -> str:
    """The report: tables of metrics and of the comparison, and the two pictures."""
    wins = sum(row["gain"] > 0 for row in rows)
    different = len({row["candidate"] for row in rows})
    percent = f"{confidence:.0%}"
    lines = [
        "# Demo: one supernet, four budgets",
        "",
        f"{images} rendered test images that neither training nor search saw; no flip test; {machine}.",
        f"Best exported subnet: budget {best['budget']}, **AP {best['AP']:.3f}**.",
        f"{wins} of {len(rows)} subnets ({different} different ones) beat the median of 8 random "
        "architectures within 10% of their MACs.",
        "",
        "![accuracy against MACs](accuracy.png)",
        "",
        "## The four subnets",
        "",
        "| budget | MACs | val AP | " + " | ".join(METRICS) + " |",
        "|---" * (3 + len(METRICS)) + "|",
    ]
    for row in rows:
        metrics = " | ".join(f"{row[metric]:.3f}" for metric in METRICS)
        lines.append(f"| {row['budget']} | {row['macs'] / 1e6:.1f} M | {row['val_AP']:.3f} | {metrics} |")
    lines += [
        "",
        "## Against random architectures within 10% of the chosen subnet's MACs",
        "",
        f"Differences are paired over images; intervals are {percent} bootstrap percentiles.",
        "",
        f"| budget | chosen AP ({percent}) | median of random | all random | their MACs "
        f"| chosen - median ({percent}) |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["AP_interval"]
        gain_low, gain_high = row["gain_interval"]
        macs = f"{min(row['random_macs']) / 1e6:.1f} to {max(row['random_macs']) / 1e6:.1f} M"
        randoms = " ".join(f"{ap:.3f}" for ap in sorted(row["random_AP"]))
        lines.append(
            f"| {row['budget']} | {row['AP']:.3f} ({low:.3f} to {high:.3f}) "
            f"| {row['random_median']:.3f} | {randoms} | {macs} "
            f"| {row['gain']:+.3f} ({gain_low:+.3f} to {gain_high:+.3f}) |"
        )
    lines += [
        "",
        f"## Predictions of the best subnet (budget {best['budget']})",
        "",
        "![predictions](predictions.png)",
        "",
    ]
    return "\n".join(lines)
