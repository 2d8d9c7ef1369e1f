"""Evaluate every architecture of a small space once, as the ground of the tabular benchmark.

    python experiments/search/make_tabular.py RUN OUT.npz [images]

RUN is a trained supernet of a small space (conf/spaces/nano.yaml). It goes on where it stopped: the scores so
far are in OUT.npz, NaN where an architecture is still to come.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf

from search.costs import Costs
from supernet.checkpoint import load_supernet
from supernet.data.source import DataConfig
from supernet.data.source import open_split
from supernet.evaluation import Evaluator
from supernet.evaluation import SupernetEvaluator
from supernet.evaluation_options import EvaluationOptions
from supernet.files import atomic_path
from supernet.space import Codes
from supernet.space import SearchSpace

SAVE_EVERY = 60.0
FIGURES = ("AP", "AP50", "AR")


def every_architecture(space: SearchSpace) -> Codes:
    """(size, G) codes of the whole space."""
    free = [range(int(count)) for count in space.num_choices]
    codes = space.canonical(np.array(list(itertools.product(*free)), dtype=np.int64))
    codes = np.unique(codes, axis=0)
    assert len(codes) == space.size()
    return codes


def main(run: str, out: str, images: int = 120) -> None:
    torch.set_num_threads(1)
    trained = load_supernet(run)
    known = OmegaConf.merge(OmegaConf.structured(DataConfig), trained.config["data"])
    data = OmegaConf.to_object(known)
    assert isinstance(data, DataConfig)
    options = EvaluationOptions(images=images, batch_size=20, flip=False, calibration_images=40)
    evaluator = Evaluator(open_split(data, "val"), options)
    evaluate = SupernetEvaluator(trained.net, open_split(data, "train"), evaluator)
    codes = every_architecture(trained.space)
    path = Path(out)
    scores = np.full((len(codes), len(FIGURES)), np.nan, dtype=np.float32)
    if path.exists():
        with np.load(path) as file:
            scores = file["scores"]
    # In random order, so that a part is a sample of the whole.
    order = np.random.default_rng(0).permutation(len(codes))
    left = [i for i in order if np.isnan(scores[i, 0])]
    saved = begin = time.monotonic()
    for number, i in enumerate(left):
        stats = evaluate(trained.space.decode(codes[i : i + 1])[0]).stats
        scores[i] = [stats[name] for name in FIGURES]
        now = time.monotonic()
        if now - saved > SAVE_EVERY or number == len(left) - 1:
            costs = Costs.standard(trained.space, trained.net.num_joints).predict(codes)
            with atomic_path(path) as temporary, open(temporary, "wb") as target:
                np.savez_compressed(
                    target,
                    codes=codes.astype(np.uint8),
                    scores=scores,
                    figures=np.array(FIGURES),
                    macs=costs[:, 0],
                )
            saved = now
            each = (now - begin) / (number + 1)
            minutes = each * (len(left) - number) / 60
            print(f"{number + 1}/{len(left)}, {each:.2f} s each, {minutes:.0f} min left", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
