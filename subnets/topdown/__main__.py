"""`python -m subnets.topdown`: train and score a network that looks at one person's crop at a time."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.cli import launch
from supernet.errors import InputError
from supernet.runs.folders import hold_run_folder
from supernet.runs.progress import exit_if_stopped

from ..console import register_slug
from .options import TopDownCommand

if TYPE_CHECKING:
    from supernet.data.dataset import PoseDataset

    from ..network import Network
    from ..source import Opened
    from .crops import Boxes

NETWORK = "network"
RESULT = "result.json"
SCHEMA = 1
VOLATILE = ("threads",)


def main() -> None:
    """Run the command."""
    register_slug()
    launch("topdown", TopDownCommand, run)


def run(config: TopDownCommand, folder: Path) -> None:
    """Train in `folder`, or go on there, then score on the boxes that were asked for."""
    import torch

    from supernet.data.source import open_split

    from ..console import open_console
    from ..runtime import check_joints
    from .crops import open_boxes

    if config.threads is not None:
        torch.set_num_threads(config.threads)
    opened = open_topdown(config)
    check_joints(opened, config.data)
    dataset = open_split(config.data, config.split)
    # Before the training: a misspelt file is found at once, and the corrected command may go on.
    boxes = open_boxes(config.topdown.boxes, dataset)
    net = starting_network(config, opened)
    with hold_run_folder(folder, config, VOLATILE):
        if config.topdown.steps:
            net = trained(config, net, open_split(config.data, "train"), folder)
        stats = scored(config, net, dataset, boxes, folder)
    metrics = ", ".join(f"{name} {100 * value:.1f}" for name, value in stats.items() if value >= 0)
    open_console().print(f"{config.arch} on {dataset.name}, boxes {config.topdown.boxes}: {metrics}")


def open_topdown(config: TopDownCommand) -> Opened:
    """What `config.arch` names.

    Raises:
        InputError: it is no top-down network, or is to be scored with random weights.
    """
    from ..console import SourceOptions
    from ..source import open_source

    opened = open_source(config.arch, SourceOptions(skeleton=config.skeleton))
    opened.require_net()
    if not opened.head.finds_person:
        raise InputError(f"{opened.name} is no top-down network; choose lpn-50, lpn-101 or a folder of one")
    return opened if config.topdown.steps else opened.require_trained()


def starting_network(config: TopDownCommand, opened: Opened) -> Network:
    """The network to train or to score; random weights are those of the seed.

    Raises:
        InputError: it is to be trained, and its batch norms are folded.
    """
    from ..finetune.finetuning import fresh

    net = fresh(opened, config.seed)
    if config.topdown.steps and net.fused:
        raise InputError(f"{opened.name} has fused batch norms and cannot be trained; take the unfused one")
    return net


def trained(config: TopDownCommand, net: Network, dataset: PoseDataset, folder: Path) -> Network:
    """The trained network, from its folder if it is there already."""
    from supernet.evaluation import calibrate_by
    from supernet.heads.contract import head_of

    from ..folder import load, save
    from .crops import PersonBatches, train_crops

    options, target = config.topdown, folder / NETWORK
    if not target.exists():
        head, shape = head_of(net.arch), net.arch.input_shape
        batches = PersonBatches(head, dataset, shape, options.batch_size, config.seed, config.crops)
        signal = train_crops(net, batches, options.optimizer, options.steps, folder)
        exit_if_stopped(signal, folder)
        count = max(1, options.calibration // options.batch_size)
        calibrate_by(net, net, (batches(options.steps + i)[0] for i in range(count)))
        net.skeleton = dataset.skeleton
        save(net, target, {"trained": True, "topdown": {"steps": options.steps, "data": dataset.name}})
    return load(target)


def scored(
    config: TopDownCommand, net: Network, dataset: PoseDataset, boxes: Boxes, folder: Path
) -> dict[str, float]:
    """The metrics on the split, from the result file if it is there already.

    Raises:
        InputError: the file is the score of other weights, boxes or annotations.
    """
    from supernet.heads.contract import head_of
    from supernet.runs.files import read_json, write_json

    from ..network import weights_digest
    from ..runtime import open_runtime
    from .crops import boxes_digest, find_people, score_people

    path, options = folder / RESULT, config.topdown
    of = {"weights": weights_digest(net), "boxes": boxes_digest(boxes), "annotations": dataset.fingerprint()}
    digests = {f"{what}_sha256": digest for what, digest in of.items()}
    if path.exists():
        known = read_json(path, "top-down result")
        for what, digest in of.items():
            if known.get(f"{what}_sha256") != digest:
                raise InputError(f"{path} is the score of other {what}; choose another name=...")
        return dict(known["stats"])
    count = len(dataset) if options.images is None else min(options.images, len(dataset))
    part = dataset.subset(range(count))
    run_ = open_runtime(net, "torch", config.threads)
    shape = net.arch.input_shape
    head, flip = head_of(net.arch), config.flip_test
    people = find_people(run_, head, part, boxes[:count], shape, flip, options.batch_size)
    stats, detections = score_people(part, people)
    write_json(folder / "detections.json", detections, indent=None)
    record = {"boxes": options.boxes, "data": dataset.name, "images": count, "stats": dict(stats), **digests}
    write_json(path, {"schema": SCHEMA, **record, "options": asdict(options)})
    return dict(stats)


if __name__ == "__main__":
    main()
