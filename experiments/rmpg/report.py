"""What RMPG changed, by network and data: python -m experiments.rmpg.report WORK [--out FILE].

Adds to FILE; what WORK does not have stays there as it is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from supernet.cost import count_macs, count_params

from .run import networks

HERE = Path(__file__).parent
DRAWS = 2000
METRICS = ("AP50", "PCK10")
PAIRS = (
    ("simplebaseline", "simplebaseline+"),
    ("simplebaseline=", "simplebaseline+"),
    ("simplebaseline*", "simplebaseline+"),
    ("litepose", "litepose+"),
    ("parse-graph", "parse-graph parts"),
    ("simplebaseline+", "parse-graph parts"),
    ("simplebaseline+", "parse-graph"),
)


def paired(folder: Path, data: str, names: tuple[str, str]) -> dict[str, Any] | None:
    """Scores of two networks, seed by seed; how much better the second is in PCK10, with 95% intervals.

    By seeds it is Student's over the seeds' differences, by people a bootstrap of the people tested, each
    with the mean of its differences over the seeds.
    """
    found = [
        [json.loads(file.read_text()) for file in pair]
        for seed in range(10)
        for pair in [[folder / f"{data}-{name}-{seed}/result.json" for name in names]]
        if all(file.exists() for file in pair)
    ]
    if not found:
        return None
    table: dict[str, Any] = {
        metric: [[round(each[metric], 4) for each in pair] for pair in found] for metric in METRICS
    }
    change = np.array([second["PCK10"] - first["PCK10"] for first, second in found])
    table["difference"] = round(float(change.mean()), 4)
    if len(found) > 1:
        half = stats.t.ppf(0.975, len(found) - 1) * stats.sem(change)
        table["by seeds"] = [round(float(change.mean() + sign * half), 4) for sign in (-1, 1)]
    people = np.mean([np.subtract(second["people"], first["people"]) for first, second in found], axis=0)
    draws = np.random.default_rng(0).integers(len(people), size=(DRAWS, len(people)))
    table["by people"] = np.percentile(people[draws].mean(axis=1), [2.5, 97.5]).round(4).tolist()
    return table | {"tested people": len(people)}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    work = options.work
    sizes = {
        name: {"macs": count_macs(arch, 14), "params": count_params(arch, 14)}
        for name, arch in networks().items()
    }
    result: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    result["networks"] = sizes
    for steps in sorted(int(folder.name) for folder in work.iterdir() if folder.name.isdigit()):
        for data in ("lsp", "crowds"):
            for names in PAIRS:
                if (table := paired(work / str(steps), data, names)) is not None:
                    result[f"{steps} steps, {data}, {' against '.join(reversed(names))}"] = table
                    print(steps, data, names, table)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
