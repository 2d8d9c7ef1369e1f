"""The generated part of the record's README."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments.paper_claims.estimates import verdict
from experiments.paper_claims.rounds import THREADS, Rounds
from supernet.errors import InputError
from supernet.runs.environment import environment_line

BEGIN = "<!-- written by report --record -->"
END = "<!-- end of what report --record wrote -->"
# What the paper's "up to 5.0x lower latency" says.
UP_TO = 5.0


def environment_text(measured: Mapping[int, Rounds]) -> str:
    """Where and how often it was measured."""
    lines = []
    for rounds in measured.values():
        counts = [len(start) for start in rounds.starts]
        lines.append(
            f"- {environment_line(rounds.environment)}: {len(counts)} starts, {sum(counts)} rounds "
            f"({min(counts)} to {max(counts)} a start)."
        )
    return "\n".join(lines) + "\n"


def network_table(networks: list[dict[str, Any]]) -> str:
    """Costs and latencies."""
    lines = [
        "| network | input | params, M | MACs exact, G | litepose | 1 thread, ms | 2 threads, ms | rounds "
        "| ms per exact G, 1 thread |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in networks:
        found = [row[f"ms_{t}"] for t in THREADS]
        height, width = row["input"]
        cells = [
            row["network"],
            f"{height}x{width}",
            f"{row['params'] / 1e6:.3f}",
            *(f"{row[key] / 1e9:.3f}" for key in ("macs_exact", "macs_litepose")),
            *(f"{ms['median']:.1f} ({ms['p10']:.1f} to {ms['p90']:.1f})" for ms in found),
            ", ".join(str(ms["rounds"]) for ms in found),
            f"{found[0]['per_exact_giga']:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def pair_table(pairs: list[dict[str, Any]]) -> str:
    """Ratios with intervals, beside the paper's."""
    lines = [
        "| ratio | MACs exact | MACs litepose | paper's MACs | 1 thread | 2 threads | paper's latencies |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in pairs:
        cells = [
            f"{row['other']} / {row['ours']}",
            f"{row['exact']:.2f}",
            f"{row['litepose']:.2f}",
            f"{row['paper_macs']:.2f}" if row["paper_macs"] else "",
            *(_shown(row[f"latency_{t}"]) for t in THREADS),
            ", ".join(f"{value:.1f}" for value in row["paper_ms"] or ()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def claim_table(pairs: list[dict[str, Any]]) -> str:
    """The paper's sentences, and where our intervals lie beside them."""
    by_pair = {(row["other"], row["ours"]): row for row in pairs}
    h1, w24 = by_pair["efficienthrnet-h1", "litepose-s"], by_pair["higherhrnet-w24", "litepose-s"]
    openpose = by_pair["lightweight-openpose", "litepose-m"]
    lines = ["| the paper | its number | here |", "|---|---|---|"]
    for claim, row in (('"2.8x fewer MACs": H-1 over S', h1), ("MACs of W24 over S", w24)):
        lines.append(
            f"| {claim} | {row['paper_macs']:.2f} "
            f"| {row['litepose']:.2f} in its counting, {row['exact']:.2f} exact |"
        )
    for name, row in (("H-1 over S", h1), ("W24 over S", w24), ("OpenPose over M", openpose)):
        low, high = min(row["paper_ms"]), max(row["paper_ms"])
        shown = f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
        lines.append(f"| latency of {name} | {shown} | {_beside(row, low, high)} |")
    lines.append(f'| "up to {UP_TO}x lower latency": W24 over S | {UP_TO} | {_beside(w24, UP_TO, UP_TO)} |')
    return "\n".join(lines) + "\n"


def _beside(row: Mapping[str, Any], low: float, high: float) -> str:
    parts = []
    for threads in THREADS:
        found = row[f"latency_{threads}"]
        count = "1 thread" if threads == 1 else f"{threads} threads"
        parts.append(f"{count} {_shown(found)}: {verdict(found, low, high)}")
    return "; ".join(parts)


def _shown(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def generated(
    measured: Mapping[int, Rounds], networks: list[dict[str, Any]], pairs: list[dict[str, Any]]
) -> str:
    """All that the README says about this measurement."""
    return "\n".join(
        (
            environment_text(measured),
            network_table(networks),
            "![Latency over exact MACs](latency.png)\n",
            pair_table(pairs),
            claim_table(pairs),
        )
    )


def put_into(page: str, text: str) -> str:
    """`page` with `text` between the two marks.

    Raises:
        InputError: it lacks them.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"the README lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"
