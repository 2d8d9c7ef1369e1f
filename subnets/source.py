"""From what a user writes after `arch=` to a network with its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from supernet.data.layouts import LAYOUTS
from supernet.data.source import MEND, DataConfig, data_from, joints_of, open_split, require_joints
from supernet.errors import InputError
from supernet.evaluation import calibrate, calibrate_by, calibration_batches
from supernet.family import Architecture, arch_from_dict, family_of, load_arch, step_of
from supernet.heads.contract import Head, head_of
from supernet.pose.grouping import MATCHING
from supernet.pose.skeletons import Skeleton
from supernet.training.checkpoint import TrainedSupernet, load_supernet
from supernet.training.shipped import shipped_path

from .console import SourceOptions
from .export.formats import Format, format_of, formats
from .folder import META_FILE, load
from .network import Network, Subnet, build, extract
from .official import import_weights
from .portable.manifest import Manifest

# Random images that keep the values of a network with random weights in a usual range.
CALIBRATION_BATCHES = 4
CALIBRATION_SIDE = 128
# Training images that set the batch-norm statistics of a supernet's subnet.
CALIBRATION_IMAGES = 64
# The joint layout of a network that says none, where none is given.
UNSAID = "crowdpose"


def from_supernet(arch: str, run: str, data: DataConfig | None = None) -> Opened:
    """A member of a trained supernet, its batch norms recalibrated on training images or with the statistics
    that its file keeps.

    Args:
        arch: `largest`, `smallest`, a subnet that the file names, a zoo name or an architecture file.
        run: the training run, or a supernet that ships.
        data: the command's; where its data is that of the run, it says where that lies by now.

    Raises:
        InputError: no such run, its data is not there, or an architecture outside its space.
    """
    trained = load_supernet(run)
    ends = {"largest": trained.space.largest, "smallest": trained.space.smallest}
    if arch in trained.subnets:
        return _member(arch, run, trained)
    chosen = ends[arch]() if arch in ends else load_arch(arch)
    trained.net.require(chosen)
    same = next((name for name, member in trained.subnets.items() if member.arch == chosen), None)
    if same is not None:
        return _member(same, run, trained)
    # A supernet's running statistics belong to no subnet.
    data = _training_data(trained, data)
    if trained.net.skeleton is not None:
        where = "the data it was trained with"
        mend = "give back the skeleton file of the training"
        require_joints(data, trained.net.skeleton, str(trained.path), where, mend)
    train_set = open_split(data, "train")
    calibrate(trained.net, chosen, calibration_batches(train_set, chosen.resolution, CALIBRATION_IMAGES, 16))
    net = extract(trained.net, chosen).eval()
    net.skeleton = trained.net.skeleton or train_set.skeleton
    name = arch if arch in ends else Path(arch).stem
    about = {"name": name, "source": f"supernet {run}", **trained.provenance()}
    return Opened(name, chosen, skeleton_of(net), trained=True, net=net, about=about)


def _member(name: str, run: str, trained: TrainedSupernet) -> Opened:
    """A subnet whose statistics the supernet's file keeps."""
    member = trained.subnets[name]
    member.apply(trained.net)
    net = extract(trained.net, member.arch).eval()
    about = {
        "name": f"{Path(run).stem}-{name}",
        "source": f"supernet {run}",
        **trained.provenance(),
        **member.about,
    }
    return Opened(str(about["name"]), member.arch, skeleton_of(net), trained=True, net=net, about=about)


def _training_data(trained: TrainedSupernet, given: DataConfig | None) -> DataConfig:
    """The data that a supernet was trained with, at the root that is given for them now."""
    if not trained.config.get("data"):
        # Rendered figures are what commands show without data=...: no photographs' statistics.
        if given is not None and not (given.render and LAYOUTS.get(given.layout).makes):
            return given.of_joints(trained.skeleton)
        kept = ", ".join(trained.subnets)
        return trained.data(MEND + (f", or take a subnet whose statistics it keeps: {kept}" if kept else ""))
    if given is None or not all(root.exists() for root in given.roots()):
        return trained.data()
    differing = _differing(data_from(trained.config.get("data") or {}), given, trained.skeleton)
    if differing:
        return trained.data(f"{MEND}; those that are given differ in {', '.join(differing)}")
    return given.of_joints(trained.skeleton)


def _differing(known: DataConfig, given: DataConfig, skeleton: Skeleton | None) -> list[str]:
    """The settings by which those of a run and those that are given mean other data, wherever they lie."""

    def meaning(data: DataConfig) -> dict[str, object]:
        found: dict[str, object] = {"skeleton": data.skeleton if skeleton is None else joints_of(data).joints}
        for name, part in {"": data, **{f"sources.{key}.": one for key, one in data.sources.items()}}.items():
            found |= {f"{name}{key}": getattr(part, key) for key in ("layout", "train_split", "category")}
            # Where poses lie is no part of what is rendered, nor who renders it.
            found[f"{name}render"] = part.render and replace(part.render, poses=None, workers=0)
        return found

    there, here = meaning(known.of_joints(skeleton)), meaning(given)
    return [f"data.{name}" for name in {**there, **here} if there.get(name) != here.get(name)]


def from_official(arch: str, weights: str, skeleton: str) -> Opened:
    """An architecture with released LitePose weights from the file `weights`.

    Raises:
        InputError: they do not fit.
    """
    layout = Skeleton.load(skeleton)
    description = load_arch(arch)
    net = Subnet(description, layout.num_joints).eval()
    import_weights(net, weights)
    net.skeleton = layout
    name = Path(arch).stem
    about = {**net.about, "name": name, "source": f"weights {weights}"}
    return Opened(name, description, layout, trained=True, net=net, about=about)


def untrained(arch: str, skeleton: str) -> Opened:
    """An architecture of any family with random weights, the same every time."""
    description = load_arch(arch)
    layout = Skeleton.load(family_of(description).skeleton or skeleton)
    net = build(description, layout.num_joints)
    # With norms as they come, a deep network magnifies float32 rounding a hundredfold: no use for
    # comparisons.
    generator = torch.Generator().manual_seed(0)
    sides = (2, 3, CALIBRATION_SIDE, CALIBRATION_SIDE)
    calibrate_by(net, net, [torch.randn(sides, generator=generator) for _ in range(CALIBRATION_BATCHES)])
    net.skeleton = layout
    name = Path(arch).stem
    net.about = {"name": name, "source": "random weights", "trained": False}
    return Opened(name, description, layout, trained=False, net=net.eval(), about=dict(net.about))


SUBNETS_FOLDER = "subnets"


@dataclass(frozen=True)
class Opened:
    """A network that a command was given.

    Attributes:
        name: short, for tables and file names.
        arch: its architecture.
        skeleton: its joints.
        trained: False for random weights.
        net: the network in evaluation mode; None when only an exported file was given.
        files: its exported files, by format.
        manifest: what the file says, if `net` is None.
        about: provenance and scores that the folder or file keeps.
    """

    name: str
    arch: Architecture
    skeleton: Skeleton
    trained: bool
    net: Network | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    manifest: Manifest | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def matching(self) -> str:
        """The rule by which its peaks are matched to people."""
        return self.manifest.matching if self.manifest else str(self.about.get("matching", MATCHING))

    @property
    def head(self) -> Head:
        """What its outputs are."""
        return head_of(self.arch)

    def describe(self, said: Manifest | None = None) -> Manifest:
        """What a file of it says of itself that takes any shape and ends in the outputs of its head, or in
        both is as a file that says `said`.
        """
        return Manifest(
            self.name,
            self.arch.resolution,
            self.skeleton,
            input_shape=said.input_shape if said else None,
            step=step_of(self.arch),
            peaks=said.peaks if said else 0,
            head_kind=self.arch.head_kind,
            matching=self.matching,
            arch=self.arch.to_dict(),
            about={**self.about, "trained": self.trained},
        )

    def require_people(self) -> Opened:
        """Itself.

        Raises:
            InputError: its outputs cannot be grouped into people.
        """
        if self.head.finds_person:
            raise InputError(f"{self.name} works on crops of one person; use python -m subnets.topdown")
        if not self.head.finds_people:
            raise InputError(
                f"{self.name} gives {self.arch.head_kind}: it is there for its cost and latency only"
            )
        return self

    def require_net(self) -> Network:
        """The torch network.

        Raises:
            InputError: only an exported file was given.
        """
        if self.net is None:
            (file,) = self.files.values()
            raise InputError(f"{file} is an exported file; this needs the network's folder, name or weights")
        return self.net

    def require_trained(self) -> Opened:
        """Itself.

        Raises:
            InputError: the weights are random.
        """
        if not self.trained:
            raise InputError(
                f"{self.name} has random weights; give weights=FILE, supernet=RUN, or a trained folder"
            )
        return self


def open_source(arch: str, options: SourceOptions | None = None) -> Opened:
    """Open the network that `arch` names.

    Args:
        arch: a supernet that ships (its first subnet) or NAME:subnet, a zoo name, an architecture file
            (.yaml, .json), a network's folder, `RUN:budget` for the subnet that a search run found for a
            budget, an exported file, or with `options.supernet` also `largest` or `smallest`.

    Raises:
        InputError: nothing of that name, or weights that do not fit.
    """
    options = options or SourceOptions()
    if options.weights and options.supernet:
        raise InputError("weights= and supernet= both give weights; choose one")
    opened = _shipped(arch) or _from_path(arch, options.skeleton)
    if opened is not None and (options.weights or options.supernet):
        raise InputError(f"{arch} has weights of its own; leave out weights= and supernet=")
    opened = opened or _named(arch, options)
    if options.skeleton is not None:
        require_skeleton(opened, options.skeleton)
    return opened


def require_skeleton(opened: Opened, given: str) -> None:
    """Raise InputError unless the joint layout `given` is, but for its name, the one that a network has."""
    mine, theirs = opened.skeleton.to_dict(), Skeleton.load(given).to_dict()
    differing = [key for key in ("joints", "flip", "sigmas", "edges", "order") if mine[key] != theirs[key]]
    if differing:
        raise InputError(
            f"skeleton={given} differs in {', '.join(differing)} from the joint layout that {opened.name} "
            f"has, {opened.skeleton.name!r} ({', '.join(opened.skeleton.joints)}); leave out skeleton="
        )


def _named(arch: str, options: SourceOptions) -> Opened:
    """An architecture alone, with weights from elsewhere."""
    if options.supernet:
        return from_supernet(arch, options.supernet, options.data)
    if options.weights:
        return from_official(arch, options.weights, options.skeleton or UNSAID)
    return untrained(arch, options.skeleton or UNSAID)


def _shipped(arch: str) -> Opened | None:
    """The subnet that `NAME` or `NAME:subnet` means, where a supernet of that name ships.

    Raises:
        InputError: it names no such subnet.
    """
    name, _, subnet = arch.partition(":")
    path = shipped_path(name)
    if path is None or Path(arch).exists():
        return None
    trained = load_supernet(path)
    known = list(trained.subnets)
    if (subnet or known[0]) not in known:
        raise InputError(f"arch={arch}: supernet {name} has no subnet {subnet!r}; it has {', '.join(known)}")
    return _member(subnet or known[0], name, trained)


def _from_path(arch: str, skeleton: str | None) -> Opened | None:
    """What a folder, a file of a format or `RUN:budget` holds; None for other names."""
    path = _search_result(arch) or Path(arch)
    if path.is_dir():
        return _from_folder(path, arch, skeleton)
    form = format_of(path)
    return None if form is None else _from_file(path, form)


def _search_result(arch: str) -> Path | None:
    """The folder that `RUN:budget` means, if `arch` has that form."""
    run, colon, budget = arch.rpartition(":")
    if not colon or Path(arch).exists() or not run:
        return None
    folder = Path(run) / SUBNETS_FOLDER
    if not folder.is_dir():
        raise InputError(f"{arch}: {run} is no search run with results ({folder} does not exist)")
    if not budget or not (folder / budget / META_FILE).is_file():
        known = sorted(entry.parent.name for entry in folder.glob(f"*/{META_FILE}"))
        raise InputError(f"{arch}: run {run} has no subnet {budget!r}; it has {', '.join(known) or 'none'}")
    return folder / budget


def _from_folder(path: Path, arch: str, skeleton: str | None) -> Opened:
    if not (path / META_FILE).is_file() and (path / SUBNETS_FOLDER).is_dir():
        known = sorted(entry.parent.name for entry in (path / SUBNETS_FOLDER).glob(f"*/{META_FILE}"))
        raise InputError(
            f"{path} is a search run; choose a subnet: {', '.join(f'{path}:{name}' for name in known)}"
        )
    net = load(path)
    if net.skeleton is None and skeleton is not None:
        net.skeleton = Skeleton.load(skeleton)
    name = str(net.about.get("name") or arch.replace(":", "-").rstrip("/").rpartition("/")[2])
    files = {item.name: path / item.file for item in formats() if (path / item.file).is_file()}
    return Opened(
        name=name,
        arch=net.arch,
        skeleton=skeleton_of(net),
        trained=bool(net.about.get("trained", True)),
        net=net,
        files=files,
        about=dict(net.about),
    )


def skeleton_of(net: Network) -> Skeleton:
    """The joint layout of `net`.

    Raises:
        InputError: it has none.
    """
    if net.skeleton is None:
        raise InputError(
            f"the network's folder does not name its {net.num_joints} joints; give skeleton=..., or give the "
            "network a skeleton before save()"
        )
    if net.skeleton.num_joints != net.num_joints:
        raise InputError(
            f"the network finds {net.num_joints} joints, skeleton {net.skeleton.name!r} names "
            f"{net.skeleton.num_joints}"
        )
    return net.skeleton


def _from_file(path: Path, form: Format) -> Opened:
    manifest = form.manifest(path)
    if manifest is None:
        raise InputError(f"{path} does not say what it finds; give its folder with runtime={form.runtime}")
    return Opened(
        name=manifest.name,
        arch=arch_from_dict(manifest.arch),
        skeleton=manifest.skeleton,
        trained=bool(manifest.about.get("trained", True)),
        files={form.name: path},
        manifest=manifest,
        about=dict(manifest.about),
    )


def warn_untrained(opened: Opened) -> None:
    """Say plainly when a network has random weights."""
    if not opened.trained:
        text = f"warning: {opened.name} has random weights: its size and speed are real, what it finds is not"
        print(text, file=sys.stderr)
