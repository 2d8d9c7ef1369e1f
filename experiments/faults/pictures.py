"""Memory of an evaluator with 10,000 pictures at several resolutions, of which it keeps what has room.

    python experiments/faults/pictures.py [--pictures 10000] [--resolutions 256 384] [--memory 2]

A few rendered pictures stand for all: each counts as often as it takes. Prints MB by resolution: what all
prepared pictures would fill, what the evaluator holds, and the largest resident size of the process so far.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

from supernet.data.opening import load_crowdpose
from supernet.data.synthetic.dataset import SyntheticOptions, ensure
from supernet.evaluation import Evaluator
from supernet.options import EvaluationOptions


def megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[256, 384])
    parser.add_argument("--memory", type=float, default=EvaluationOptions().memory)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few = 20
        root = ensure(Path(folder) / "data", SyntheticOptions(train=1, val=few, test=1, size=256, workers=1))
        dataset = load_crowdpose(root, "val")
        many = dataset.subset(number % few for number in range(given.pictures))
        evaluator = Evaluator(many, EvaluationOptions(memory=given.memory))
        print(f"before: {megabytes()} MB resident")
        for side in given.resolutions:
            all_of_them = sum(view.pixels.nbytes for one in evaluator.prepared(side) for view in one.views)
            held = sum(
                view.pixels.nbytes
                for kept in evaluator._prepared.values()
                for one in kept.values()
                for view in one.views
            )
            print(
                f"{side}: {given.pictures} prepared pictures are {all_of_them / 1e6:.0f} MB, "
                f"{held / 1e6:.0f} MB are held, {megabytes()} MB resident",
                flush=True,
            )


if __name__ == "__main__":
    main()
