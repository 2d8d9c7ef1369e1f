"""Tables, ratios with intervals and the picture, from the rounds that `latency` measured.

python -m experiments.paper_claims.report
"""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiments.paper_claims.latency import HERE
from experiments.paper_claims.latency import LITEPOSE
from experiments.paper_claims.latency import NAMES
from experiments.paper_claims.latency import read_rounds
from subnets.any_arch import input_shape_of
from subnets.any_arch import load_arch
from subnets.any_arch import macs_of
from subnets.any_arch import params_of
from supernet.files import write_json

THREADS = (1, 2)
RESAMPLES = 2000
ALONE = ("lightweight-openpose",)
# Where a family's labels stand from their points, so that they do not meet.
LABELS = {"efficienthrnet": (-18, 4), "litepose": (6, -10), "lpn": (7, -4)}
# Pairs that the paper sets side by side: theirs, LitePose, the MACs (G) it gives for both, and its latencies
# (ms) on Jetson Nano, Snapdragon 855 and Raspberry Pi 4; None where its repository gives none.
PAIRS = (
    ("efficienthrnet-h1", "litepose-s", (14.2, 5.0), ((283, 97), (267, 76), (1229, 420))),
    ("higherhrnet-w24", "litepose-s", (25.3, 5.0), ((330, 97), (289, 76), (1414, 420))),
    ("efficienthrnet-h1", "litepose-m", (14.4, 7.8), ((283, 144), (267, 97), (1229, 588))),
    ("lightweight-openpose", "litepose-m", (9.0, 7.8), ((97, 97),)),
    ("efficienthrnet-h2", "litepose-s", None, None),
    ("efficienthrnet-h3", "litepose-xs", None, None),
    ("efficienthrnet-h4", "litepose-xs", None, None),
    ("higherhrnet-w32", "litepose-l", None, None),
    ("higherhrnet-w48", "litepose-l", None, None),
)


@dataclass(frozen=True)
class Interval:
    """A median and where it lies with 95% of bootstrap resamples of the rounds."""

    median: float
    low: float
    high: float
    rounds: int


def times(threads: int) -> dict[str, dict[int, float]]:
    """Milliseconds by network and round."""
    found: dict[str, dict[int, float]] = {name: {} for name in NAMES}
    for row in read_rounds(threads):
        found[row["network"]][int(row["round"])] = float(row["milliseconds"])
    return found


def interval(values: list[float]) -> Interval:
    """Median of `values` and its bootstrap interval."""
    array, rng = np.array(values), np.random.default_rng(0)
    medians = np.median(array[rng.integers(len(array), size=(RESAMPLES, len(array)))], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return Interval(float(np.median(array)), float(low), float(high), len(array))


def network_rows(measured: dict[int, dict[str, dict[int, float]]]) -> list[dict[str, object]]:
    """One row per network: size, costs at 14 joints, latencies."""
    rows = []
    for name in NAMES:
        arch = load_arch(name)
        row: dict[str, object] = {
            "network": name,
            "input": list(input_shape_of(arch)),
            "params": params_of(arch, 14),
            "macs_exact": macs_of(arch, 14),
            "macs_litepose": macs_of(arch, 14, "litepose"),
        }
        for threads, by_name in measured.items():
            values = list(by_name[name].values())
            low, high = np.percentile(values, [10, 90])
            row[f"ms_{threads}"] = {
                "median": float(np.median(values)),
                "p10": float(low),
                "p90": float(high),
                "rounds": len(values),
            }
        rows.append(row)
    return rows


def pair_rows(measured: dict[int, dict[str, dict[int, float]]]) -> list[dict[str, object]]:
    """How many times the cost and latency of LitePose the other network of each pair has."""
    rows = []
    for other, ours, paper_macs, paper_ms in PAIRS:
        first, second = load_arch(other), load_arch(ours)
        row: dict[str, object] = {
            "other": other,
            "ours": ours,
            "exact": macs_of(first, 14) / macs_of(second, 14),
            "litepose": macs_of(first, 14, "litepose") / macs_of(second, 14, "litepose"),
            "paper_macs": paper_macs[0] / paper_macs[1] if paper_macs else None,
            "paper_ms": [a / b for a, b in paper_ms] if paper_ms else None,
        }
        for threads, by_name in measured.items():
            both = sorted(set(by_name[other]) & set(by_name[ours]))
            ratios = [by_name[other][i] / by_name[ours][i] for i in both]
            row[f"latency_{threads}"] = asdict(interval(ratios))
        rows.append(row)
    return rows


def markdown(networks: list[dict], pairs: list[dict]) -> str:
    """Both tables."""
    lines = [
        "| network | input | params, M | MACs exact, G | litepose | 1 thread, ms | 2 threads, ms | rounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in networks:
        spread = [
            f"{row[f'ms_{t}']['median']:.1f} ({row[f'ms_{t}']['p10']:.1f} to {row[f'ms_{t}']['p90']:.1f})"
            for t in THREADS
        ]
        rounds = ", ".join(str(row[f"ms_{t}"]["rounds"]) for t in THREADS)
        costs = (
            f"{row['params'] / 1e6:.3f} | {row['macs_exact'] / 1e9:.3f} | {row['macs_litepose'] / 1e9:.3f}"
        )
        height, width = row["input"]
        lines.append(f"| {row['network']} | {height}x{width} | {costs} | {' | '.join(spread)} | {rounds} |")
    lines += [
        "",
        "| ratio | MACs exact | MACs litepose | paper's MACs | 1 thread | 2 threads | paper's latencies |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in pairs:
        cells = [f"{row['exact']:.2f}", f"{row['litepose']:.2f}"]
        cells.append(f"{row['paper_macs']:.2f}" if row["paper_macs"] else "")
        for t in THREADS:
            found = row[f"latency_{t}"]
            cells.append(f"{found['median']:.2f} ({found['low']:.2f} to {found['high']:.2f})")
        cells.append(", ".join(f"{value:.1f}" for value in row["paper_ms"]) if row["paper_ms"] else "")
        lines.append(f"| {row['other']} / {row['ours']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(networks: list[dict], path: Path) -> None:
    """Latency over exact MACs, both logarithmic; a line joins a family."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for place, threads in enumerate(THREADS, start=1):
        axes = figure.add_subplot(1, 2, place)
        families: dict[str, list[dict]] = {}
        for row in networks:
            name = str(row["network"])
            families.setdefault(name if name in ALONE else name.rpartition("-")[0], []).append(row)
        for number, (family, rows) in enumerate(families.items()):
            rows = sorted(rows, key=lambda row: row["macs_exact"])
            x = [row["macs_exact"] / 1e9 for row in rows]
            y = [row[f"ms_{threads}"]["median"] for row in rows]
            low = [row[f"ms_{threads}"]["median"] - row[f"ms_{threads}"]["p10"] for row in rows]
            high = [row[f"ms_{threads}"]["p90"] - row[f"ms_{threads}"]["median"] for row in rows]
            axes.errorbar(
                x, y, yerr=(low, high), marker="o", ms=5, capsize=2, color=f"C{number}", label=family
            )
            for row, a, b in zip(rows, x, y, strict=True):
                text = "" if family in ALONE else str(row["network"]).rpartition("-")[2].upper()
                place_of = LABELS.get(family, (6, -10))
                axes.annotate(text, (a, b), xytext=place_of, textcoords="offset points", fontsize=8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("exact MACs, G (one image of the network's own input; LPN: one person's crop)")
        axes.set_ylabel(f"ms, onnxruntime, {threads} thread{'s' * (threads > 1)} (bars: 10% to 90%)")
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize=8)
        axes.xaxis.label.set_size(8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Write result.json and latency.png, print the tables."""
    measured = {threads: times(threads) for threads in THREADS}
    networks, pairs = network_rows(measured), pair_rows(measured)
    write_json(HERE / "result.json", {"schema": 1, "networks": networks, "pairs": pairs})
    text = markdown(networks, pairs)
    draw(networks, HERE / "latency.png")
    print(text)
    assert set(LITEPOSE) <= {row["network"] for row in networks}


if __name__ == "__main__":
    main()
