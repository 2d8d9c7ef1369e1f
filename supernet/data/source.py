"""A command's `data` settings: a data set that is there, or one that is rendered on first use."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import InputError, shown
from .layouts import LAYOUTS, Layout
from .options import DataOptions
from .synthetic.options import SyntheticOptions

if TYPE_CHECKING:
    from ..pose.skeletons import Skeleton
    from .dataset import PoseDataset

SPLITS = ("train", "val", "test")
MEND = "choose the data with data=... data.root=..."


@dataclass
class DataConfig(DataOptions):
    """Where the data comes from.

    Attributes:
        render: options of the data set to render into `root`; None reads what is there.
        poses: CrowdPose or COCO annotation file whose groups of people the renderer draws; None draws its
            own.
    """

    render: SyntheticOptions | None = None
    poses: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.poses is not None and self.render is None:
            raise InputError("data.poses is for rendered data; use data=synthetic")

    def split_name(self, role: str) -> str:
        """The data set's own name of the split that plays `role` (train, val or test)."""
        if role not in SPLITS:
            raise InputError(f"split {role!r} is not one of {', '.join(SPLITS)}")
        return str(getattr(self, f"{role}_split"))


def data_from(known: Any, mend: str = MEND) -> DataConfig:
    """The data settings of a run, from the mapping that its checkpoints and `config.yaml` keep.

    Raises:
        InputError: they refer to something outside themselves (an environment variable); they may be a
            stranger's.
    """
    from omegaconf import OmegaConf

    text = json.dumps(known, default=str)
    if "${" in text:
        raise InputError(f"the run's data settings refer to {shown(text[text.index('${') :])}; {mend}")
    return cast(DataConfig, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DataConfig), known)))


def data_of_run(
    known: Any, run: str | os.PathLike[str], skeleton: Skeleton | None, mend: str = MEND
) -> DataConfig:
    """`data_from` of `run`, for a command that was given no data of its own.

    Args:
        skeleton: the joints that the run keeps, whatever became of the file that names them.
        mend: what a user of the command can do where the data are gone.

    Raises:
        InputError: the data are gone, or would have to be made outside the present folder: a checkpoint may
            be a stranger's, and says no more than where its data were.
    """
    config = data_from(known, mend)
    root = Path(config.root).resolve()
    makes = config.render is not None or type(LAYOUTS.get(config.layout)).prepare is not Layout.prepare
    there = root.is_file() or any(path.is_file() for path in root.rglob("*"))
    if not there and not (makes and root.is_relative_to(Path.cwd())):
        raise InputError(f"{os.fspath(run)} was trained on data in {config.root}, where nothing is; {mend}")
    return config.of_joints(skeleton)


def ensure_data(config: DataConfig) -> Path:
    """Make the data set if its layout can and it is not there yet; its root either way."""
    LAYOUTS.get(config.layout).prepare(config)
    return Path(config.root)


def open_split(config: DataConfig, role: str) -> PoseDataset:
    """Open the split that plays `role` (train, val or test), rendering the set on first use.

    Raises:
        InputError: the data set is missing or broken, or `role` is none of the three.
    """
    config.split_name(role)
    ensure_data(config)
    return open_ready_split(config, role)


def open_ready_split(config: DataConfig, role: str) -> PoseDataset:
    """`open_split` of a data set that is there already.

    Raises:
        InputError: as `open_split`.
    """
    from .opening import open_dataset

    return open_dataset(config, config.split_name(role))
