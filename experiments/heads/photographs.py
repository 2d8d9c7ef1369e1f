"""The three heads on photographs, from one backbone: python -m experiments.heads.photographs WORK /data/real.

Each learns the same pictures for as many steps, at MACs within 2%, from the backbone of the supernet that
ships; all heads are made anew. A stopped run goes on. Scored on the test photographs with the 12 joints that
all sources label; timed in onnxruntime on one thread. Writes `photographs.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from experiments.photographs.score import common_joints
from supernet import Arch
from supernet.cost import count_macs, count_params
from supernet.data.dataset import PoseDataset
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluation, Evaluator, SupernetEvaluator
from supernet.litepose.arch import Stage
from supernet.network import Supernet
from supernet.options import EvaluationOptions
from supernet.pose.bootstrap import bootstrap_ap
from supernet.runs.files import write_json
from supernet.runs.snapshot import Snapshot, write_snapshot
from supernet.space import SearchSpace
from supernet.training.checkpoint import load_supernet, supernet_about, take_over

from .networks import HEADS, NEAR, space_of
from .score import LEVELS, command, exported, times

HERE = Path(__file__).parent
START = "photographs"
WIDTHS, DEPTHS, KERNEL, EXPANSION = (24, 32, 64, 96), (2, 3, 4, 4), 5, 6
# What a head saves goes into the input, and what is left into its widths or the depth of the last stage.
SHAPES: dict[str, tuple[int, tuple[int, ...], int]] = {
    "embedding": (128, (38, 28, 28), 4),
    "ae_resize": (160, (16, 12, 12), 3),
    "onestage": (160, (24, 18, 18), 4),
}
# As the supernet that ships was trained.
AUGMENT = (
    "{rotation: 20.0, scale: [0.6, 1.3], translation: 0.1, flip: 0.5, mosaic: 0.3, "
    "brightness: 0.1, contrast: 0.2, saturation: 0.2}"
)
LOSS = "{heat: [1.0, 4.0], positive_weight: 8.0, pull: 0.03, push: 0.2}"
OPTIMIZER = (
    "{lr: 3.0e-3, backbone: 0.25, freeze: [stem, stages.0, stages.1], betas: [0.9, 0.99], "
    "warmup: 50, clip: 5.0, ema: 0.998}"
)
CALIBRATION, SAMPLES = 256, 1000


def networks() -> dict[str, Arch]:
    """By head."""
    found = {}
    for head in HEADS:
        side, widths, last = SHAPES[head]
        depths = zip(WIDTHS, (*DEPTHS[:3], last), strict=True)
        stages = tuple(Stage(width, (KERNEL,) * depth, (EXPANSION,) * depth) for width, depth in depths)
        found[head] = Arch(side, 16, stages, widths, head_kind=head)
    macs = [count_macs(arch) for arch in found.values()]
    assert max(macs) <= min(macs) * (1 + NEAR), macs
    return found


def write_start(path: Path) -> None:
    """The backbone of the supernet that ships under a head that none of the three is."""
    source = load_supernet(START)
    assert source.skeleton is not None
    whole = source.space.to_dict() | {"name": "backbone", "head_kind": "heatmaps"}
    net = Supernet(SearchSpace.from_dict(whole), source.net.num_joints, seed=0)
    net.skeleton = source.skeleton
    take_over(net, source, source.skeleton)
    tensors = {f"model.{name}": value.detach() for name, value in net.named_parameters()}
    meta = {**supernet_about(net), "step": 0, "config": {"space": "backbone"}}
    write_snapshot(path, Snapshot(tensors, meta))


def train(work: Path, root: Path, arch: Arch, labels: str, seed: int, steps: int) -> str:
    """The name of the run of this network, trained unless it was."""
    name = f"photographs-{arch.head_kind}-{seed}"
    (work / f"{name}.yaml").write_text(json.dumps(space_of(arch, name)))
    settings = [f"space={work / name}.yaml", f"init={work / 'start.safetensors'}", f"name={name}"]
    settings += ["data=crowdpose", f"data.root={root}", f"data.train_split={labels}", "data.workers=0"]
    settings += [f"data.augment={AUGMENT}", "train=gpu", "threads=1", f"seed={seed}"]
    settings += [
        f"train.steps={steps}",
        "train.epochs=null",
        "train.batch_size=16",
        "train.validation.every=0",
    ]
    settings += [f"train.sampling={{largest_first: {steps}, sort_channels: false}}", f"train.loss={LOSS}"]
    settings += [f"train.optimizer={OPTIMIZER}", "train.checkpoint.every=100"]
    command(work, "supernet.train", *settings)
    return name


def timed(work: Path, root: Path, runs: dict[str, str], pictures: PoseDataset) -> dict[str, dict[str, Any]]:
    """By head the times of its exported network for pictures put together of photographs of one person."""
    data = ("data=crowdpose", f"data.root={root}")
    files = {head: exported(work, run, *data) for head, run in runs.items()}
    alone = [index for index, record in enumerate(pictures.records) if record.num_people == 1]
    return times(files, [pictures.read_image(index) for index in alone])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--labels", default="train", help="those to learn, such as what relabel.py wrote")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--heads", nargs="+", default=HEADS)
    parser.add_argument("--times", action="store_true", help="export the networks, and time them")
    options = parser.parse_args()
    torch.set_num_threads(1)
    work, root = options.work.resolve(), options.root.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (start := work / "start.safetensors").exists():
        write_start(start)
    archs = {head: arch for head, arch in networks().items() if head in options.heads}
    runs = {
        head: train(work, root, arch, options.labels, options.seed, options.steps)
        for head, arch in archs.items()
    }
    data = DataConfig(root=str(root))
    test = Evaluator(
        common_joints(open_split(data, "test")), EvaluationOptions(calibration_images=CALIBRATION)
    )
    scored: dict[str, Evaluation] = {}
    for head, run in runs.items():
        net = load_supernet(work / "runs/train" / run, "last").net
        scored[head] = SupernetEvaluator(net, open_split(data, "train"), test)(archs[head])
    found = {head: evaluation.detections for head, evaluation in scored.items()}
    resampled = bootstrap_ap(test.ground_truth, found, samples=SAMPLES)
    taken = timed(work, root, runs, test.dataset) if options.times else {}
    result: dict[str, Any] = {"steps": options.steps, "seed": options.seed}
    for head, arch in archs.items():
        interval = resampled.metrics[head]
        result[head] = {
            "resolution": arch.resolution,
            "macs": count_macs(arch),
            "params": count_params(arch),
            **{level: round(scored[head].stats[level], 4) for level in LEVELS},
            "AP, 95%": [round(interval.low, 4), round(interval.high, 4)],
        }
        if taken:
            result[head]["picture to people"] = taken[head]
        print(head, result[head], flush=True)
    for pair, apart in resampled.differences.items():
        shown = [round(value, 4) for value in (apart.value, apart.low, apart.high)]
        result[f"{pair[1]} minus {pair[0]}"] = shown
        print(pair, shown, flush=True)
    write_json(HERE / "photographs.json", result)


if __name__ == "__main__":
    main()
