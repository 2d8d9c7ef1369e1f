"""Bar 2: how well the accuracy predictor ranks architectures that it has not seen.

    python experiments/search/predictor_quality.py TABLE.npz SPACE [draws]

Every draw fits on 300 architectures drawn uniformly and ranks all others of the table; writes
quality_TABLE.json beside this file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from search.accuracy.predictor import fit_predictor, tau_of
from search.costs.contract import Costs, Floats
from supernet.space import SearchSpace

HERE = Path(__file__).resolve().parent
MEASURED = 300
FEWEST_IN_BAND = 20
WITHIN = 0.10


def tau_in_bands(values: Floats, ap: Floats, macs: Floats) -> float:
    """Mean Kendall tau within bands of MACs of +-10%, side by side over the range, weighted by members."""
    edges = np.exp(np.arange(np.log(macs.min()), np.log(macs.max()), np.log((1 + WITHIN) / (1 - WITHIN))))
    band = np.searchsorted(edges, macs, side="right")
    members = [np.flatnonzero(band == number) for number in np.unique(band)]
    members = [inside for inside in members if len(inside) >= FEWEST_IN_BAND]
    taus = [tau_of(values[inside], ap[inside]) for inside in members]
    return float(np.average(taus, weights=[len(inside) for inside in members]))


def one_draw(costs: Costs, codes: np.ndarray, ap: Floats, seed: int) -> dict[str, float | str]:
    """Quality on what was not drawn."""
    order = np.random.default_rng(seed).permutation(len(codes))
    drawn, held = order[:MEASURED], order[MEASURED:]
    predictor = fit_predictor(costs, codes[drawn], ap[drawn], seed)
    predicted = predictor.predict(codes[held])[0]
    macs = costs.predict(codes[held])[:, 0]
    return {
        "model": predictor.model,
        "cross_validated_tau": predictor.quality.tau,
        "tau": tau_of(predicted, ap[held]),
        "tau_in_bands": tau_in_bands(predicted, ap[held], macs),
        "error_points": 100 * float(np.abs(predicted - ap[held]).mean()),
        "macs_tau": tau_of(macs, ap[held]),
        "macs_tau_in_bands": tau_in_bands(macs, ap[held], macs),
    }


def main(table: str, name: str, draws: int = 10) -> None:
    with np.load(table, allow_pickle=False) as file:
        codes, scores = file["codes"].astype(np.int64), file["scores"].astype(np.float64)
        metrics = file["metrics"].tolist()
    done = np.isfinite(scores[:, 0])
    codes, scores = codes[done], scores[done]
    ap = scores[:, 0]
    costs = Costs.of(SearchSpace.load(name))
    found = [one_draw(costs, codes, ap, seed) for seed in range(draws)]
    halves = [scores[:, metrics.index(f"AP_{half}_half")] for half in ("first", "second")]
    result = {
        "space": name,
        "measured": MEASURED,
        "held_out": len(codes) - MEASURED,
        "draws": draws,
        "models": {
            model: sum(one["model"] == model for one in found) for model in {o["model"] for o in found}
        },
        **{key: spread([one[key] for one in found]) for key in found[0] if key != "model"},
        "ap_points": {"min": 100 * ap.min(), "max": 100 * ap.max(), "deviation": 100 * ap.std()},
        "tau_between_halves_of_the_images": tau_of(*halves),
    }
    print(json.dumps(result, indent=1))
    (HERE / f"quality_{Path(table).stem}.json").write_text(json.dumps(result, indent=1) + "\n")


def spread(values: list[float]) -> dict[str, float]:
    """Mean, standard deviation over draws, and range."""
    array = np.array(values)
    return {"mean": array.mean(), "deviation": array.std(ddof=1), "min": array.min(), "max": array.max()}


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
