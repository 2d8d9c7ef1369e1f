"""How much of a table's scores small sums of gene effects cannot explain.

    python experiments/search/roughness.py [TABLE.npz]

Least squares on all architectures, main effects and pairwise interactions of the genes' choices; writes
roughness_TABLE.json beside this file.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np

from search.accuracy.predictor import tau_of

HERE = Path(__file__).resolve().parent


def main(table: Path) -> None:
    with np.load(table, allow_pickle=False) as file:
        codes, scores, metrics = file["codes"], file["scores"].astype(np.float64), file["metrics"].tolist()
    # One column per choice but the first of its gene.
    choices = [
        codes[:, gene] == choice
        for gene in range(codes.shape[1])
        for choice in range(1, codes[:, gene].max() + 1)
    ]
    pairs = [one & other for one, other in itertools.combinations(choices, 2)]
    terms = np.column_stack([np.ones(len(codes)), *choices, *pairs]).astype(np.float64)
    result = {}
    for name, values in zip(metrics, scores.T, strict=True):
        weights, _, rank, _ = np.linalg.lstsq(terms, values, rcond=None)
        fitted = terms @ weights
        left = ((values - fitted) ** 2).sum() / (len(values) - rank)
        result[name] = {
            "deviation_points": 100 * float(values.std()),
            "residual_points": 100 * float(np.sqrt(left)),
            "tau_of_the_fit": tau_of(fitted, values),
        }
    (HERE / f"roughness_{table.stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(Path(*sys.argv[1:2]) if len(sys.argv) > 1 else HERE / "nano.npz")
