"""A trained supernet as the file that ships: half-precision weights, and the statistics of subnets it names.

    python -m experiments.photographs.ship runs/train/photographs /data/real \\
        experiments/photographs/subnets.json --name photographs

The JSON file has the `licence` of the weights and `subnets`, the first one being the supernet's default: a
mapping each of `name`, `arch` (`largest`, `middle`, `smallest`, or a description), `resolution`, and
`scores`, which the file keeps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from supernet.cost import count_macs, count_params
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import calibration_batches
from supernet.family import Architecture, arch_from_dict
from supernet.network import Supernet
from supernet.runs.snapshot import write_snapshot
from supernet.space import SearchSpace
from supernet.training.checkpoint import load_supernet, supernet_about
from supernet.training.shipped import SUFFIX, pack, shipped_folder

CALIBRATION = 256


def chosen(net: Supernet, wanted: dict[str, Any]) -> Architecture:
    """The architecture that a mapping of the file means."""
    ends = ("largest", "middle", "smallest")
    arch = wanted["arch"]
    found = getattr(net.space, arch)() if arch in ends else arch_from_dict(arch)
    return replace(found, resolution=wanted.get("resolution", found.resolution))


def trained_part(net: Supernet, elastic: Sequence[str]) -> Supernet:
    """The supernet with all choices of the dimensions `elastic` and the largest of the others: nobody should
    search among what was never trained.
    """
    described = net.space.to_dict()
    for stage in described["stages"]:
        for gene in ("width", "depth", "kernel", "expansion"):
            if gene not in elastic:
                stage[gene] = [max(stage[gene])]
    if "width" not in elastic:
        described["stem"] = [max(described["stem"])]
        described["head"] = [[max(step)] for step in described["head"]]
    suffix = "_" + "_".join(elastic)
    name = net.space.name.removesuffix(suffix) + suffix
    part = Supernet(SearchSpace.from_dict({**described, "name": name}), net.num_joints)
    part.load_state_dict(net.state_dict())
    part.skeleton = net.skeleton
    return part


def main() -> None:
    """Write `conf/supernets/NAME.safetensors`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="the training run or a checkpoint")
    parser.add_argument("root", help="the photographs' folder")
    parser.add_argument("subnets", type=Path)
    parser.add_argument("--name", required=True, help="of the file; one that is there is replaced")
    parser.add_argument("--checkpoint", default="last")
    parser.add_argument("--elastic", nargs="*", default=["depth", "kernel"], help="the dimensions trained")
    args = parser.parse_args()
    torch.set_num_threads(1)
    trained = load_supernet(args.run, args.checkpoint)
    net, told = trained_part(trained.net, args.elastic), json.loads(args.subnets.read_text())
    wanted, licence = told["subnets"], told["licence"]
    archs = {entry["name"]: chosen(net, entry) for entry in wanted}
    known = {
        entry["name"]: {
            "macs": count_macs(archs[entry["name"]], net.num_joints),
            "params": count_params(archs[entry["name"]], net.num_joints),
            **({"scores": entry["scores"]} if "scores" in entry else {}),
            "licence": licence,
        }
        for entry in wanted
    }
    train_set = open_split(DataConfig(root=args.root), "train")
    sides = {arch.resolution for arch in archs.values()}
    batches = {side: list(calibration_batches(train_set, side, CALIBRATION, 16)) for side in sides}
    # What a stranger can use of the run's settings: where its data lay is no help.
    config = {"space": net.space.name, **{key: trained.config.get(key) for key in ("seed", "train")}}
    about = {**supernet_about(net), "step": trained.step, "config": config, "licence": licence}
    snapshot = pack(net, archs, batches, about, known)
    path = shipped_folder() / f"{args.name}{SUFFIX}"
    path.parent.mkdir(exist_ok=True)
    write_snapshot(path, snapshot)
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, {', '.join(archs)}")


if __name__ == "__main__":
    main()
