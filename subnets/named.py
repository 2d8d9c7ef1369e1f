"""Networks for an architecture that is given by name or file: weights from a supernet, a file, or random."""

from __future__ import annotations

from pathlib import Path

import torch

from supernet.arch import Arch
from supernet.calibration import calibrate
from supernet.calibration import calibrate_by
from supernet.checkpoint import TrainedSupernet
from supernet.checkpoint import load_supernet
from supernet.data.source import DataConfig
from supernet.data.source import data_from
from supernet.data.source import open_split
from supernet.errors import InputError
from supernet.evaluation import calibration_batches
from supernet.pose.skeletons import Skeleton

from .any_arch import AnyArch
from .any_arch import load_arch
from .any_network import build_network
from .any_network import outputs_kind
from .baselines.arch import StaticArch
from .baselines.families import family_of
from .extract import extract
from .network import build
from .official import import_weights
from .source import Opened
from .source import skeleton_of

# Random images that keep the values of a network with random weights in a usual range.
CALIBRATION_BATCHES = 4
CALIBRATION_SIDE = 128
# Training images that set the batch-norm statistics of a supernet's subnet.
CALIBRATION_IMAGES = 64


def from_supernet(arch: str, run: str) -> Opened:
    """A member of a trained supernet, its batch norms recalibrated on training images.

    Args:
        arch: `largest`, `smallest`, a zoo name or an architecture file.
        run: the training run.

    Raises:
        InputError: no such run, or an architecture outside its space.
    """
    trained = load_supernet(run)
    ends = {"largest": trained.space.largest, "smallest": trained.space.smallest}
    chosen = ends[arch]() if arch in ends else Arch.load(arch)
    trained.net.require(chosen)
    # A supernet's running statistics belong to no subnet.
    train_set = open_split(_training_data(trained), "train")
    calibrate(trained.net, chosen, calibration_batches(train_set, chosen.resolution, CALIBRATION_IMAGES, 16))
    net = extract(trained.net, chosen).eval()
    net.skeleton = train_set.skeleton
    name = arch if arch in ends else Path(arch).stem
    about = {"name": name, "source": f"supernet {run}", **trained.provenance()}
    return Opened(name, chosen, skeleton_of(net), trained=True, net=net, about=about)


def _training_data(trained: TrainedSupernet) -> DataConfig:
    known = trained.config.get("data")
    if not known:
        raise InputError(
            f"{trained.path} does not say which data it was trained with; extract it in a search"
        )
    return data_from(known)


def from_official(arch: str, weights: str, skeleton: str) -> Opened:
    """An architecture with released LitePose weights from the file `weights`.

    Raises:
        InputError: they do not fit.
    """
    layout = Skeleton.load(skeleton)
    description = Arch.load(arch)
    net = build(description, layout.num_joints).eval()
    import_weights(net, weights)
    net.skeleton = layout
    name = Path(arch).stem
    return Opened(
        name, description, layout, trained=True, net=net, about={"name": name, "source": f"weights {weights}"}
    )


def untrained(arch: str, skeleton: str) -> Opened:
    """An architecture, also of a comparison network, with random weights, the same every time."""
    description = load_arch(arch)
    layout = Skeleton.load(_bound_layout(description) or skeleton)
    net = build_network(description, layout.num_joints)
    # With norms as they come, a deep network magnifies float32 rounding a hundredfold: no use for
    # comparisons.
    generator = torch.Generator().manual_seed(0)
    sides = (2, 3, CALIBRATION_SIDE, CALIBRATION_SIDE)
    calibrate_by(net, net, [torch.randn(sides, generator=generator) for _ in range(CALIBRATION_BATCHES)])
    net.skeleton = layout
    name = Path(arch).stem
    net.about = {"name": name, "source": "random weights", "trained": False}
    kind, about = outputs_kind(net), dict(net.about)
    return Opened(name, description, layout, trained=False, net=net.eval(), about=about, kind=kind)


def _bound_layout(arch: AnyArch) -> str | None:
    """The joint layout that a comparison network's family is bound to, if it is."""
    return family_of(arch).layout if isinstance(arch, StaticArch) else None
