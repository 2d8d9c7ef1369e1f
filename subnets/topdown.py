"""`python -m subnets.topdown`: train and score a network that looks at one person's crop at a time."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from supernet.cli import launch
from supernet.errors import InputError
from supernet.run_folders import claim_run_folder

from .naming import register_slug
from .topdown_options import TRUTH
from .topdown_options import TopDownCommand

if TYPE_CHECKING:
    from supernet.data.dataset import PoseDataset

    from .baselines.network import StaticNetwork

NETWORK = "network"
RESULT = "result.json"
SCHEMA = 1
VOLATILE = ("threads", "data.workers", "data.cache", "data.verify")


def main() -> None:
    """Run the command."""
    register_slug()
    launch("topdown", TopDownCommand, run)


def run(config: TopDownCommand, folder: Path) -> None:
    """Train in `folder`, or go on there, then score on the boxes that were asked for."""
    import torch

    from supernet.data.source import open_split

    from .console import open_console

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    net = open_topdown(config)
    dataset = open_split(config.data, config.split)
    claim_run_folder(folder, config, VOLATILE)
    if config.topdown.steps:
        net = trained(config, net, open_split(config.data, "train"), folder)
    stats = scored(config, net, dataset, folder)
    figures = ", ".join(f"{name} {100 * value:.1f}" for name, value in stats.items() if value >= 0)
    open_console().print(f"{config.arch} on {dataset.name}, boxes {config.topdown.boxes}: {figures}")


def open_topdown(config: TopDownCommand) -> StaticNetwork:
    """The network of `config.arch`.

    Raises:
        InputError: it is no top-down network, or is to be scored with random weights.
    """
    from .baselines.network import StaticNetwork
    from .source import SourceOptions
    from .source import open_source

    opened = open_source(config.arch, SourceOptions(skeleton=config.skeleton))
    net = opened.require_net()
    if not isinstance(net, StaticNetwork) or opened.kind != "heatmaps":
        raise InputError(f"{opened.name} is no top-down network; choose lpn-50, lpn-101 or a folder of one")
    if not config.topdown.steps:
        opened.require_trained()
    return net


def trained(config: TopDownCommand, net: StaticNetwork, dataset: PoseDataset, folder: Path) -> StaticNetwork:
    """The trained network, from its folder if it is there already.

    Raises:
        InputError: its joints are not those of the data set, or its batch norms are fused.
    """
    from supernet.calibration import calibrate_by

    from .folder import load
    from .folder import save
    from .topdown_training import PersonBatches
    from .topdown_training import train_crops

    options, target = config.topdown, folder / NETWORK
    if net.fused or net.num_joints != dataset.skeleton.num_joints:
        raise InputError(
            f"{config.arch} finds {net.num_joints} joints ({'fused' if net.fused else 'unfused'}); "
            f"training needs the unfused network of the {dataset.skeleton.num_joints} of {dataset.name}"
        )
    if not target.exists():
        batches = PersonBatches(dataset, net.arch.input_shape, options.batch_size, config.seed)
        signal = train_crops(net, batches, options.optimizer, options.steps, folder)
        if signal:
            print(f"stopped and saved; the same command goes on from there ({folder})", file=sys.stderr)
            sys.exit(128 + signal)
        count = max(1, options.calibration // options.batch_size)
        calibrate_by(net, net, (batches(options.steps + i)[0] for i in range(count)))
        net.skeleton = dataset.skeleton
        save(net, target, {"trained": True, "topdown": {"steps": options.steps, "data": dataset.name}})
    again: Any = load(target)
    return again  # type: ignore[no-any-return]


def scored(
    config: TopDownCommand, net: StaticNetwork, dataset: PoseDataset, folder: Path
) -> dict[str, float]:
    """The figures on the split, from the result file if it is there already."""
    from supernet.files import read_json
    from supernet.files import write_json

    from .runtime import open_runtime
    from .topdown_scoring import find_people
    from .topdown_scoring import predicted_boxes
    from .topdown_scoring import score_people
    from .topdown_scoring import true_boxes

    path, options = folder / RESULT, config.topdown
    if path.exists():
        return dict(read_json(path, "top-down result")["stats"])
    count = len(dataset) if options.images is None else min(options.images, len(dataset))
    part = dataset.subset(range(count))
    boxes = true_boxes(part) if options.boxes == TRUTH else predicted_boxes(options.boxes, part)
    run_ = open_runtime(net, "torch", config.threads)
    people = find_people(run_, part, boxes, net.arch.input_shape, options.flip, options.batch_size)
    stats, detections = score_people(part, people)
    write_json(folder / "detections.json", detections, indent=None)
    record = {"boxes": options.boxes, "data": dataset.name, "images": count, "stats": dict(stats)}
    write_json(path, {"schema": SCHEMA, **record, "options": asdict(options)})
    return dict(stats)


if __name__ == "__main__":
    main()
