"""The finished runs of the ablations, and paired differences between their networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from experiments.ablations.plan import RESULT, Run
from supernet.data.source import data_from
from supernet.errors import InputError
from supernet.pose.bootstrap import Floats, bootstrap_ap
from supernet.runs.files import read_json, read_yaml
from supernet.runs.folders import CONFIG_FILE, NEVER_COMPARED
from supernet.runs.log import read_log

SAMPLES = 1000
CONFIDENCE = 0.95
# Share of a run at whose end the loss is averaged.
TAIL = 0.25
# What every run has its own of.
OWN = ("arch", "name", "seed")
# What changes no result; steps and data, which may change in a run that goes on, are the recipe's.
INDIFFERENT = (*NEVER_COMPARED, "accelerator", "threads", "logger")


@dataclass(frozen=True)
class Difference:
    """A metric of one network minus that of another, both from the same seeds.

    Attributes:
        value: the mean over seeds.
        low, high: ends of the interval.
    """

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the interval leaves no doubt, else 0."""
        return int(self.low > 0) - int(self.high < 0)


def read_run(run: Run) -> dict[str, Any]:
    """The metrics of a finished run, and how it was made.

    Returns:
        among others "seconds" (wall time of the training steps) and "recipe", all settings of both commands
        that are not the run's own, as a digest that equals that of any run comparable to it.
    """
    (score,) = read_json(run.scores / RESULT, "scores")["networks"]
    lines = [line for line in read_log(run.folder / "log.jsonl") if line["kind"] == "train"]
    tail = [line for line in lines if line["step"] > (1 - TAIL) * lines[-1]["step"]]
    return {
        "arm": run.arm,
        "seed": run.seed,
        **{metric: score["stats"][metric] for metric in ("AP", "AP50", "AR")},
        "params": score["params"],
        "macs": score["macs"],
        "steps": lines[-1]["step"],
        "seconds": round(sum(line["seconds"] for line in lines), 1),
        "loss": sum(line["loss"] for line in tail) / len(tail),
        "recipe": recipe_digest(run),
    }


def recipe_digest(run: Run) -> str:
    """Of the settings that runs have to share to be compared."""
    settings = []
    for folder in (run.folder, run.scores):
        config = read_yaml(folder / CONFIG_FILE, "run config")
        for key in OWN:
            config.pop(key, None)
        for dotted in INDIFFERENT:
            group, _, key = dotted.rpartition(".")
            (config.get(group, {}) if group else config).pop(key, None)
        settings.append(config)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def require_equal_budgets(rows: Mapping[Run, Mapping[str, Any]]) -> None:
    """Raise InputError unless all runs took the same steps by the same recipe."""
    (first, wanted), *others = rows.items()
    for run, row in others:
        for key in ("steps", "recipe"):
            if row[key] != wanted[key]:
                raise InputError(
                    f"{run.name} and {first.name} cannot be compared: {key} {row[key]} and {wanted[key]}; "
                    f"remove the older of {run.folder} and {first.folder}, and its folder in runs/evaluate"
                )


def ground_truth(run: Run) -> Path:
    """The annotations of the crowds that a run was scored on."""
    data = data_from(read_yaml(run.scores / CONFIG_FILE, "run config")["data"])
    return Path(data.root) / "json" / f"crowdpose_{data.val_split}.json"


def by_seed(first: Sequence[float], second: Sequence[float]) -> Difference:
    """`second` minus `first`, seed by seed (two at least), with Student's interval over the seeds."""
    delta = np.subtract(second, first)
    mean, n = float(delta.mean()), len(delta)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * delta.std(ddof=1) / np.sqrt(n))
    return Difference(mean, mean - half, mean + half)


def by_image(first: Sequence[Run], second: Sequence[Run], truth: Path) -> Difference:
    """Mean AP of `second` minus that of `first`, with the bootstrap's interval over images."""
    draws = np.mean([resampled(run, truth)[1] for run in second], axis=0)
    draws -= np.mean([resampled(run, truth)[1] for run in first], axis=0)
    value = np.mean([resampled(run, truth)[0] for run in second])
    value -= np.mean([resampled(run, truth)[0] for run in first])
    low, high = np.nanquantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(float(value), float(low), float(high))


@cache
def resampled(run: Run, truth: Path) -> tuple[float, Floats]:
    """AP of a run on all images, and on the same resamples of them for every run."""
    found = {run.name: run.scores / "detections" / f"{run.network.name}.json"}
    result = bootstrap_ap(truth, found, samples=SAMPLES, confidence=CONFIDENCE)
    return result.metrics[run.name].value, result.draws[run.name]
