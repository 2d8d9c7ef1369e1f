"""RMPG, with and without, on crops: python -m experiments.rmpg.run WORK /data/real DATA/synthetic.

One small SimpleBaseline and one small LitePose, each as it is and refined, learn the same crops of single
people in the same order: of the photographs of Leeds Sports Pose, and of rendered crowds. A stopped run
goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from subnets.families.topdown import ParseGraphArch, SimpleBaselineArch
from subnets.network import Network, build
from subnets.runtime import torch_runtime
from subnets.topdown.crops import PersonBatches, find_people, score_people, train_crops, true_boxes
from subnets.topdown.options import CropOptions
from supernet import Arch
from supernet.cost import count_macs, count_params
from supernet.data.dataset import PoseDataset
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import calibrate_by
from supernet.family import Architecture
from supernet.heads.contract import head_of
from supernet.layers.description import Layer, Refinement
from supernet.layers.parse_graph import ParseGraph
from supernet.litepose.arch import Stage
from supernet.runs.files import write_json
from supernet.training.options import OptimizerOptions

T = TypeVar("T")
HERE = Path(__file__).parent
SIDE, BATCH, CALIBRATION = 64, 16, 8
# Every seventh photograph is tested, and so many of the rendered pictures.
HELD_OUT, PICTURES = 7, 125
NEAR = 0.1
# Mirror images: not of rendered people, whose two-tone dress tells left from right.
FLIP = {"lsp": 0.5, "crowds": 0.0}


@dataclass(frozen=True)
class Looks(Refinement):
    """What costs and reaches as much as two levels of RMPG, without a tree: blocks of two convolutions."""

    kind = "looks"

    blocks: int = 2
    kernel: int = 5

    def layers(self, name: str, channels: int, scale: int) -> tuple[Layer, ...]:
        """See `Refinement`."""
        place = (scale, name, "refinement")
        found: list[Layer] = []
        for i in range(self.blocks):
            look = ("depthwise", channels, channels, self.kernel, 1, True, "relu")
            tell = ("conv", channels, channels, 1, 1, True, None)
            found.append(Layer(f"{name}.{i}.look", *look, *place))
            found.append(Layer(f"{name}.{i}.tell", *tell, *place, closes_branch=True))
        return tuple(found)

    def wire(self, name: str, apply: Callable[[str, T], T], add: Callable[[T, T], T], x: T) -> T:
        """See `Refinement`."""
        for i in range(self.blocks):
            x = add(x, apply(f"{name}.{i}.tell", apply(f"{name}.{i}.look", x)))
        return x


RMPG, LOOKS = ParseGraph((2, 2)), Looks()


def networks() -> dict[str, Architecture]:
    """By name; `+` has RMPG; what costs as much instead: `=` is wider, `*` has `Looks`.

    `parse-graph` has two modules, and with `parts` the nodes of the first learn parts of the body.
    """
    stages = zip((16, 24, 40, 64), (1, 2, 2, 2), strict=True)
    plain: dict[str, Any] = {
        "simplebaseline": SimpleBaselineArch((SIDE, SIDE), 16, (32, 48, 64), (1, 1, 1), (32, 32)),
        "litepose": Arch(
            SIDE,
            16,
            tuple(Stage(width, (5,) * depth, (4,) * depth) for width, depth in stages),
            (32, 24, 24),
            head_kind="heatmaps",
        ),
    }
    refined = {f"{name}+": replace(arch, refinement=RMPG) for name, arch in plain.items()}
    wider = {"simplebaseline=": SimpleBaselineArch((SIDE, SIDE), 18, (36, 52, 70), (1, 1, 1), (34, 34))}
    wider["simplebaseline*"] = replace(plain["simplebaseline"], refinement=LOOKS)
    base = plain["simplebaseline"].__dict__ | {"refinement": RMPG, "modules": 2}
    modules = {
        name: ParseGraphArch(**base, supervised=supervised)
        for name, supervised in {"parse-graph": (), "parse-graph parts": (0,)}.items()
    }
    return dict(sorted((plain | refined | wider | modules).items(), reverse=True))


def photographs(real: Path, folder: Path) -> Path:
    """The single people of Leeds Sports Pose extended among the photographs, with a split of their own."""
    document = json.loads((real / "json/crowdpose_train.json").read_text())
    images = [image for image in document["images"] if image["source"] == "lspet"]
    held_out = images[::HELD_OUT]
    (folder / "json").mkdir(parents=True, exist_ok=True)
    for split, part in {"train": [i for i in images if i not in held_out], "test": held_out}.items():
        ids = {image["id"] for image in part}
        people = [person for person in document["annotations"] if person["image_id"] in ids]
        write_json(
            folder / f"json/crowdpose_{split}.json", document | {"images": part, "annotations": people}
        )
    if not (folder / "images").exists():
        (folder / "images").symlink_to((real / "images").resolve())
    return folder


def trained(net: Network, batches: Callable[[int], Any], steps: int, folder: Path, rate: float) -> Network:
    """`net` after `steps` steps, its batch norms calibrated."""
    options = OptimizerOptions(lr=rate, warmup=min(50, steps), ema=0.0)
    if signal := train_crops(net, batches, options, steps, folder):  # type: ignore[arg-type]
        raise SystemExit(128 + signal)
    calibrate_by(net, net, (batches(steps + i)[0] for i in range(CALIBRATION)))
    return net.eval()


def scored(net: Network, dataset: PoseDataset) -> dict[str, Any]:
    """AP, AP50, and of each person the share of labelled joints within 10% of the box's longer side."""
    boxes = true_boxes(dataset)
    people = find_people(torch_runtime(net), head_of(net.arch), dataset, boxes, net.arch.input_shape, False)
    stats, _ = score_people(dataset, people)
    shares = []
    for record, (found_boxes, _), found in zip(dataset.records, boxes, people, strict=True):
        own = record.keypoints[~record.crowd.astype(bool)]
        for box, joints, pose in zip(found_boxes, own, found.keypoints, strict=True):
            labelled = joints[:, 2] > 0
            if labelled.any():
                apart = np.hypot(*(pose[labelled, :2] - joints[labelled, :2]).T)
                shares.append(float(np.mean(apart < NEAR * max(box[2:]))))
    return {"AP": stats["AP"], "AP50": stats["AP50"], "PCK10": float(np.mean(shares)), "people": shares}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("real", type=Path)
    parser.add_argument("rendered", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", nargs="+", default=["lsp", "crowds"])
    parser.add_argument("--networks", nargs="+", default=list(networks()))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rate", type=float, default=3e-3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    roots = {"lsp": photographs(options.real, options.work / "lsp"), "crowds": options.rendered}
    archs = {name: arch for name, arch in networks().items() if name in options.networks}
    for name, arch in archs.items():
        print(f"{name:16} {count_macs(arch, 14) / 1e6:6.2f} M MACs, {count_params(arch, 14):,} parameters")
    for seed in options.seeds:
        for data in options.data:
            sets = {
                split: open_split(DataConfig(root=str(roots[data]), workers=0), split)
                for split in ("train", "test")
            }
            augment = CropOptions(flip=FLIP[data])
            head = head_of(next(iter(archs.values())))
            # All networks learn the same crops, which are made once.
            batches = lru_cache(maxsize=None)(
                PersonBatches(head, sets["train"], (SIDE, SIDE), BATCH, seed, augment)
            )
            for name, arch in archs.items():
                folder = options.work / f"{options.steps}/{data}-{name}-{seed}"
                if not (folder / "result.json").exists():
                    net = trained(build(arch, 14, seed), batches, options.steps, folder, options.rate)
                    tested = sets["test"]
                    if data == "crowds":
                        tested = tested.subset(range(PICTURES))
                    write_json(folder / "result.json", scored(net, tested))
                found = json.loads((folder / "result.json").read_text())
                shown = ", ".join(f"{key} {found[key]:.3f}" for key in ("AP", "AP50", "PCK10"))
                print(f"{data} seed {seed} {name:16} {shown}", flush=True)


if __name__ == "__main__":
    main()
