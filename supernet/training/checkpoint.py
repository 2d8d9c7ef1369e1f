"""The checkpoints of a run: the last few, the best ones, and the trained supernet that they give."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.options import UNION
from ..data.source import MEND, DataConfig, data_of_run, require_plain
from ..errors import InputError, positive_int, shown
from ..layers.elastic import ElasticDepthwiseConv2d
from ..network import Supernet, largest_layers
from ..pose.skeletons import Skeleton
from ..registry import Registry
from ..runs.files import atomic_path
from ..runs.reading import tensors_about
from ..runs.snapshot import Snapshot, load_weights, read_snapshot, require_fit, write_snapshot
from ..space import SearchSpace
from .shipped import Member, members, shipped_names, shipped_path

FOLDER = "checkpoints"
BEST = ("best", "best-smallest", "best-largest")
RUNS = Path("runs/train")
_STEP = re.compile(r"step-(\d{9})\.safetensors")


class CheckpointFolder:
    """The checkpoints in one folder.

    Args:
        folder: where they are; made on the first save.
        keep: how many of the latest stay.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def path(self, step: int) -> Path:
        """The file of the checkpoint after `step` steps."""
        return self.folder / f"step-{step:09d}.safetensors"

    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(found[1]) for f in self.folder.iterdir() if (found := _STEP.fullmatch(f.name)))

    def last(self) -> Path | None:
        """The latest checkpoint."""
        steps = self.steps()
        return self.path(steps[-1]) if steps else None

    def save(self, step: int, snapshot: Snapshot) -> Path:
        """Write the checkpoint after `step` steps, then drop those beyond `keep`.

        Raises:
            OSError: it could not be written; the older ones are still there.
        """
        path = self.path(step)
        write_snapshot(path, snapshot)
        self.drop_old()
        return path

    def drop_old(self) -> None:
        """Remove what is beyond `keep`; whoever was to do so may have been killed before."""
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink(missing_ok=True)

    def mark_best(self, which: str, step: int) -> None:
        """Keep the checkpoint after `step` steps as the best by `which`."""
        with atomic_path(self.folder / f"{which}.safetensors") as temporary:
            temporary.unlink()
            try:
                os.link(self.path(step), temporary)
            except OSError:  # a file system without hard links
                shutil.copyfile(self.path(step), temporary)

    def best(self, which: str = "best") -> Path | None:
        """The checkpoint kept as the best by `which`."""
        path = self.folder / f"{which}.safetensors"
        return path if path.exists() else None


@dataclass(frozen=True)
class TrainedSupernet:
    """A supernet out of a checkpoint.

    Attributes:
        net: in evaluation mode, with the averaged weights if the run kept an average. Batch norms are as
            they started: calibrate a subnet before it is used.
        space: its space.
        config: the settings of the run (`train.py`'s config as plain values; `config["data"]` describes the
            data, `config["data"]["train_split"]` the split that it saw).
        step: optimizer steps done.
        path: the checkpoint's file.
        skeleton: its joints; None in checkpoints of older versions whose data's is gone.
        subnets: those that can be used without any image, by name; one that ships has some.
        untrained: layers that nobody trained, such as the head of a backbone from ImageNet.
    """

    net: Supernet
    space: SearchSpace
    config: Mapping[str, Any]
    step: int
    path: Path
    skeleton: Skeleton | None = None
    subnets: Mapping[str, Member] = field(default_factory=dict)
    untrained: frozenset[str] = frozenset()

    def data(self, mend: str = MEND) -> DataConfig:
        """The data that it was trained with, for a command that was given none of its own.

        Args:
            mend: what a user of the command can do where they are gone.

        Raises:
            InputError: it does not say which, or see `data_of_run`.
        """
        known = self.config.get("data")
        if not known:
            raise InputError(f"{self.path} does not say which data it was trained with; {mend}")
        return data_of_run(known, self.path, self.skeleton, mend)

    def provenance(self) -> dict[str, Any]:
        """How it was trained, for the folders of networks that are taken from it."""
        data, train = self.config.get("data") or {}, self.config.get("train") or {}
        # Of what ships, where it happens to be installed says nothing.
        ships = shipped_path(self.path.stem) == self.path
        return {
            "supernet": self.path.stem if ships else str(self.path),
            "training_steps": self.step,
            "training": {
                "space": self.config.get("space"),
                "seed": self.config.get("seed"),
                "batch_size": train.get("batch_size"),
                "data": data.get("root"),
                "split": data.get("train_split"),
            },
        }


def load_supernet(run: str | os.PathLike[str], which: str = "best") -> TrainedSupernet:
    """The supernet that a run trained.

    Args:
        run: a run folder, the name of one in `runs/train`, a checkpoint file, or a name that ships.
        which: "best" (by the mean val AP of smallest and largest; the last one if none was validated),
            "best-smallest", "best-largest" or "last".

    Raises:
        InputError: there is no such run or checkpoint, or it is damaged or of another version.
    """
    path = find_checkpoint(run, which)
    snapshot = read_snapshot(path)
    if "space" not in snapshot.meta:
        raise InputError(f"checkpoint {path} is of a single network, not of a supernet")
    weights = snapshot.part("ema") or snapshot.part("model")
    try:
        space, joints, step, config = _described(snapshot.meta)
        skeleton = _skeleton_of(snapshot.meta, joints)
        # A description may promise a network that fills the memory: names and shapes come first.
        with torch.device("meta"):
            shapes = dict(Supernet(space, joints, seed=None).named_parameters())
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from None
    require_fit([], weights, shapes, snapshot.meta, path)
    net = Supernet(space, joints, seed=None)
    net.skeleton = skeleton
    load_weights(net, supernet_about(net), weights, snapshot.meta, path)
    try:
        kept = members(snapshot, net)
    except InputError as error:
        raise InputError(f"checkpoint {path}: {error}") from None
    return TrainedSupernet(net.eval(), space, config, step, path, skeleton, kept)


# Each gives the weights as a supernet of one architecture, whose layers without weights it names `untrained`.
STARTS: Registry[Callable[[], TrainedSupernet]] = Registry(
    "start", {"efficientnet_lite0": "supernet.litepose.pretrained:efficientnet_lite0"}
)


def load_start(init: str) -> TrainedSupernet:
    """The weights that `init` names: one of `STARTS`, or what `load_supernet` takes.

    Raises:
        InputError: there is none, or its package is not installed.
    """
    return STARTS.get(init)() if init in STARTS else load_supernet(init)


def _described(meta: Mapping[str, Any]) -> tuple[SearchSpace, int, int, Mapping[str, Any]]:
    """Space, number of joints, step and settings of a checkpoint's description."""
    joints, step = positive_int(meta.get("num_joints"), "num_joints"), meta.get("step")
    config = meta.get("config")
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise InputError(f"step: expected a number of steps, found {shown(step)}")
    if not isinstance(config, Mapping) or not isinstance(config.get("data") or {}, Mapping):
        raise InputError(f"config: expected the settings of the run, found {shown(config)}")
    return SearchSpace.from_dict(meta["space"]), joints, step, config


def _skeleton_of(meta: Mapping[str, Any], joints: int) -> Skeleton | None:
    """The joints that a description holds, or in older ones those of the file that it names."""
    known = meta.get("skeleton")
    if known is not None:
        skeleton = Skeleton.from_dict(known)
    else:
        source = (meta["config"].get("data") or {}).get("skeleton")
        try:
            skeleton = Skeleton.load(str(source))
        except InputError:  # whoever opens data gives them again
            return None
    if skeleton.num_joints != joints:
        raise InputError(f"it has {joints} joints, its skeleton {skeleton.name!r} {skeleton.num_joints}")
    return skeleton


def take_over(net: Supernet, source: TrainedSupernet, skeleton: Skeleton) -> str:
    """Start `net` from the weights of another supernet, of another space or for other joints too.

    Tensors go by their names. Of different shapes the first channels and the centres of kernels are taken;
    a larger kernel is 0 around that, a smaller one is what the source makes of its own. Where the joints
    differ, the layers that give one map per joint start anew. Residual blocks that the source lacks start as
    identities.

    Args:
        net: with fresh weights.
        source: of the same family.
        skeleton: the joints of `net`.

    Returns:
        one line about what was taken over and what not.
    """
    mine, theirs = dict(net.named_parameters()), dict(source.net.named_parameters())
    same = (
        source.net.num_joints == net.num_joints
        if source.skeleton is None
        else source.skeleton.joints == skeleton.joints
    )
    anew = source.untrained | (set() if same else _joint_layers(net))
    known = largest_layers(net.space, net.num_joints)
    branches = {name for name, layer in known.items() if layer.closes_branch}
    whole, part, fresh = 0, 0, []
    with torch.no_grad():
        for name, parameter in mine.items():
            layer = layer_of(name)
            if name not in theirs or layer in anew:
                fresh.append(name)
                if layer in branches and name.endswith(".norm.weight"):
                    parameter.zero_()
                continue
            there = _of_kernel(source.net, layer, theirs[name], parameter)
            whole += there.shape == parameter.shape
            part += there.shape != parameter.shape
            _copy_overlap(there, parameter)
    left = sum(name not in mine for name in theirs)
    return (
        f"starting from {source.path}: {whole} of {len(mine)} tensors as they are, {part} in part (first "
        f"channels, centres of kernels), {len(fresh)} new{': ' if fresh else ''}{', '.join(fresh[:3])}"
        f"{', ...' if len(fresh) > 3 else ''}; {left} of its own have no place here"
    )


def layer_of(tensor: str) -> str:
    """The layer that a supernet's tensor of this name belongs to."""
    return re.sub(r"\.(conv\.transforms\.\d+|conv\.\w+|norm\.\w+)$", "", tensor)


def _joint_layers(net: Supernet) -> set[str]:
    """The layers whose channels are counted by joints."""
    mine, more = (largest_layers(net.space, net.num_joints + extra) for extra in (0, 1))
    return {name for name, layer in mine.items() if layer.out_channels != more[name].out_channels}


def _of_kernel(source: Supernet, layer: str, weight: Tensor, like: Tensor) -> Tensor:
    """`weight` of the source's `layer`, made by its transforms for the kernel of `like` where they can."""
    if weight.ndim != 4 or weight.shape[2] <= like.shape[2]:
        return weight
    conv = source.unit(layer).conv
    if isinstance(conv, ElasticDepthwiseConv2d) and like.shape[2] in conv.kernels:
        largest = largest_layers(source.space, source.num_joints)[layer]
        return conv.active_weight(replace(largest, kernel=like.shape[2]))
    return weight


def _copy_overlap(there: Tensor, here: Tensor) -> None:
    """Copy what both have: the first channels, the centre of kernels, around which `here` becomes 0."""
    mine, theirs = [], []
    for axis, (own, other) in enumerate(zip(here.shape, there.shape, strict=True)):
        count = min(own, other)
        # The last two axes of a convolution are its kernel's.
        starts = [(size - count) // 2 if here.ndim == 4 and axis > 1 else 0 for size in (own, other)]
        mine.append(slice(starts[0], starts[0] + count))
        theirs.append(slice(starts[1], starts[1] + count))
    if here.ndim == 4 and here.shape[2:] != there.shape[2:]:
        here[tuple(mine[:2])] = 0
    here[tuple(mine)] = there[tuple(theirs)]


def supernet_about(net: Supernet) -> dict[str, Any]:
    """What a supernet is, for the description of its checkpoints."""
    return {
        "space": net.space.to_dict(),
        "num_joints": net.num_joints,
        "skeleton": None if net.skeleton is None else net.skeleton.to_dict(),
    }


def find_checkpoint(run: str | os.PathLike[str], which: str = "best") -> Path:
    """The file that `load_supernet` reads."""
    if which not in (*BEST, "last"):
        raise InputError(f"checkpoint {which!r} is not one of {', '.join((*BEST, 'last'))}")
    path = Path(run)
    if path.is_file():
        return path
    path = _run_folder(run)
    if not path.is_dir():
        named = shipped_path(os.fspath(run))
        if named is None:
            known = ", ".join(shipped_names()) or "none"
            raise InputError(
                f"training run {os.fspath(run)!r} does not exist; train one, or give its folder, or a name "
                f"that ships ({known})"
            )
        return named
    kept = CheckpointFolder(path / FOLDER)
    found = kept.best(which) if which != "last" else kept.last()
    if found is None and which == "best":
        found = kept.last()
    if found is None:
        raise InputError(f"training run {path} has no checkpoint {which!r} yet")
    return found


def data_choice(path: Path) -> dict[str, Any]:
    """The data settings that a checkpoint keeps, as a choice of the group `data`; none where it keeps none.

    Where the file of its joints is gone, or names others by now, the checkpoint itself names them.

    Raises:
        InputError: it is no checkpoint, or see `require_plain`.
    """
    meta = tensors_about(path, "checkpoint")
    config = meta.get("config")
    known = config.get("data") if isinstance(config, dict) else None
    # A list of defaults would choose files for Hydra.
    if not isinstance(known, dict) or "defaults" in known:
        return {}
    require_plain(known)
    if meta.get("skeleton") is None or known.get("skeleton") == UNION:
        return known
    kept, named = Skeleton.from_dict(meta["skeleton"]), None
    with contextlib.suppress(InputError):
        named = Skeleton.load(str(known.get("skeleton")))
    same = named is not None and named.identity() == kept.identity()
    return known if same else {**known, "skeleton": str(path)}


def is_training_run(run: str | os.PathLike[str]) -> bool:
    """Whether `run` names a folder with checkpoints, as `load_supernet` takes it."""
    return (_run_folder(run) / FOLDER).is_dir()


def _run_folder(run: str | os.PathLike[str]) -> Path:
    """A bare name means a run in `runs/train` unless it is a folder here."""
    path = Path(run)
    return RUNS / path if not path.exists() and len(path.parts) == 1 else path
