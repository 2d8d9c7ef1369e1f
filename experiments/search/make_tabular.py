"""Evaluate every architecture of a small space once, as the ground of the tabular benchmark.

    python experiments/search/make_tabular.py score RUN OUT.npz --part 0/2
    python experiments/search/make_tabular.py score RUN OUT.npz --part 1/2
    python experiments/search/make_tabular.py merge OUT.npz

RUN is a trained supernet of a small space (conf/spaces/nano.yaml); of a larger space, `--sample 600`
evaluates that many, every choice drawn uniformly. A part goes on where it stopped: its scores so far are in
OUT.part0of2.npz, NaN where an architecture is still to come. `merge` joins the parts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from search.costs.contract import Costs, CostSettings
from search.strategies.operators import unique_rows
from supernet import Arch
from supernet.data.source import DataConfig, data_from, open_split
from supernet.evaluation import Evaluator, SupernetEvaluator, supernet_run
from supernet.heads.contract import head_of
from supernet.options import EvaluationOptions
from supernet.pose.grouping import DecodeOptions
from supernet.pose.inference import InferenceOptions, infer_prepared
from supernet.pose.protocols import score
from supernet.pose.results import to_coco_results
from supernet.runs.files import atomic_path
from supernet.space import Codes, SearchSpace
from supernet.training.checkpoint import load_supernet

SAVE_EVERY = 60.0
METRICS = ("AP", "AP50", "AR", "AP_first_half", "AP_second_half")
DECODE = DecodeOptions(threshold=0.2, max_people=8, refine=False, matching="hungarian")


class Scorer:
    """The metrics of one architecture: on all images, and AP on each half of them.

    Decoding is lighter than the default (fewer weak peaks, no refinement), which makes 2,304 evaluations
    affordable on a CPU.
    """

    def __init__(self, run: str, images: int, calibration: int, fresh: bool = False) -> None:
        self.trained = load_supernet(run)
        data = data_from(self.trained.config["data"])
        self.options = EvaluationOptions(images=images, batch_size=20, calibration_images=calibration)
        scored_on = freshly_rendered(data, images) if fresh else data
        self.evaluator = Evaluator(open_split(scored_on, "val"), self.options)
        self._evaluate = SupernetEvaluator(self.trained.net, open_split(data, "train"), self.evaluator)
        self._truth = self.evaluator.ground_truth
        # The halves are scored as if they were the easy and the medium crowds: no further pass is needed.
        for number, image in enumerate(self._truth["images"]):
            image["crowdIndex"] = 0.0 if number < len(self._truth["images"]) // 2 else 0.5

    def __call__(self, arch: Arch) -> list[float]:
        self._evaluate.calibrate(arch)
        run = supernet_run(self.trained.net, arch)
        options = InferenceOptions(
            resolution=arch.resolution, flip=False, batch_size=self.options.batch_size, decode=DECODE
        )
        skeleton = self.evaluator.dataset.skeleton
        people = infer_prepared(
            run, self.evaluator.prepared(arch.resolution), head_of(arch), skeleton, options
        )
        detections = to_coco_results(people, self.evaluator.image_ids)
        stats = score(self._truth, detections, dataset=skeleton.name)
        return [stats[name] for name in ("AP", "AP50", "AR", "AP_easy", "AP_medium")]

    def provenance(self, command: str) -> str:
        """What the scores depend on, as JSON."""
        trained, data = self.trained, self.evaluator.dataset
        return json.dumps(
            {
                "command": command,
                "training_steps": trained.step,
                "training": {key: trained.config.get(key) for key in ("seed", "train")},
                "data": f"{data.name}, {len(data)} images, {data.num_people} people",
                "decode": asdict(DECODE),
                "calibration_images": self.options.calibration_images,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            default=str,
        )


def freshly_rendered(data: DataConfig, images: int) -> DataConfig:
    """More validation images than `data` has, from the same renderer and another seed."""
    assert data.render is not None
    render = replace(data.render, seed=data.render.seed + 1, train=1, val=images, test=1)
    return replace(data, root=f"{data.root}_val{images}", render=render)


def every_architecture(space: SearchSpace) -> Codes:
    """(size, G) codes of the whole space."""
    free = [range(int(count)) for count in space.num_choices]
    codes = space.canonical(np.array(list(itertools.product(*free)), dtype=np.int64))
    codes = np.unique(codes, axis=0)
    assert len(codes) == space.size()
    return codes


def some_architectures(space: SearchSpace, count: int) -> Codes:
    """(count, G) distinct codes, every choice drawn uniformly, always the same ones."""
    drawn = space.sample_codes(np.random.default_rng(0), 2 * count)
    return drawn[unique_rows(drawn)][:count]


def part_path(out: Path, part: int, parts: int) -> Path:
    """Where a part of the scores lies."""
    return out.with_suffix(f".part{part}of{parts}.npz")


def write(path: Path, **arrays: Any) -> None:
    """A compressed archive, written whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as target:
        np.savez_compressed(target, **arrays)


def score_part(given: argparse.Namespace) -> None:
    """Score one part, or go on with it."""
    torch.set_num_threads(1)
    part, parts = map(int, given.part.split("/"))
    scorer = Scorer(given.run, given.images, given.calibration, given.fresh)
    space = scorer.trained.space
    codes = some_architectures(space, given.sample) if given.sample else every_architecture(space)
    path = part_path(given.out, part, parts)
    scores = np.full((len(codes), len(METRICS)), np.nan, dtype=np.float32)
    if path.exists():
        with np.load(path) as file:
            scores = file["scores"]
    # In random order, so that a part is a sample of the whole.
    order = np.random.default_rng(0).permutation(len(codes))[part::parts]
    left = [i for i in order if np.isnan(scores[i, 0])]
    fixed = {
        "codes": codes.astype(np.uint8),
        "metrics": np.array(METRICS),
        "macs": Costs.of(space, CostSettings(scorer.trained.net.num_joints)).predict(codes)[:, 0],
        "provenance": np.array(scorer.provenance(" ".join(["python", *sys.argv]))),
    }
    saved = begin = time.monotonic()
    for number, i in enumerate(left):
        scores[i] = scorer(space.decode(codes[i : i + 1])[0])
        now = time.monotonic()
        if now - saved > SAVE_EVERY or number == len(left) - 1:
            write(path, scores=scores, **fixed)
            saved = now
            each = (now - begin) / (number + 1)
            minutes = each * (len(left) - number) / 60
            print(f"{number + 1}/{len(left)}, {each:.2f} s each, {minutes:.0f} min left", flush=True)


def merge(out: Path) -> None:
    """Join the parts beside `out` into it."""
    arrays: dict[str, Any] = {}
    for path in sorted(out.parent.glob(f"{out.stem}.part*of*.npz")):
        with np.load(path) as file:
            part = dict(file)
        if arrays:
            part["scores"] = np.where(np.isnan(arrays["scores"]), part["scores"], arrays["scores"])
        arrays = part
    if not arrays:
        sys.exit(f"no parts beside {out}")
    ap = arrays["scores"][:, 0]
    if np.isnan(ap).any():
        sys.exit(f"{int(np.isnan(ap).sum())} of {len(ap)} architectures are still to be scored")
    write(out, **arrays)
    print(f"{out}: {len(ap)} architectures, AP {ap.min():.3f} to {ap.max():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="task", required=True)
    one = commands.add_parser("score")
    one.add_argument("run")
    one.add_argument("out", type=Path)
    one.add_argument("--images", type=int, default=150)
    one.add_argument("--calibration", type=int, default=40)
    one.add_argument("--sample", type=int)
    one.add_argument("--fresh", action="store_true", help="render --images new ones to score on")
    one.add_argument("--part", default="0/1")
    commands.add_parser("merge").add_argument("out", type=Path)
    given = parser.parse_args()
    if given.task == "merge":
        merge(given.out)
    else:
        score_part(given)


if __name__ == "__main__":
    main()
