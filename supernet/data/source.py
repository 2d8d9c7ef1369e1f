"""A command's `data` settings: a data set that is there, or one that is rendered on first use."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..errors import InputError, shown
from .layouts import LAYOUTS
from .options import UNION, DataOptions

if TYPE_CHECKING:
    from ..pose.skeletons import Skeleton
    from .dataset import PoseDataset
    from .images.decode import UInt8Image

# What a command calls its settings of data.
DataConfig = DataOptions
MEND = "choose the data with data=... data.root=..."


def data_from(known: Any, mend: str = MEND) -> DataConfig:
    """The data settings of a run, from the mapping that its checkpoints and `config.yaml` keep.

    Raises:
        InputError: they refer to something outside themselves (an environment variable); they may be a
            stranger's.
    """
    from omegaconf import OmegaConf

    require_plain(known, mend)
    return cast(DataConfig, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(DataConfig), known)))


def require_plain(known: Any, mend: str = MEND) -> None:
    """Raise InputError if settings of a run refer to something outside themselves."""
    text = json.dumps(known, default=str)
    if "${" in text:
        raise InputError(f"the run's data settings refer to {shown(text[text.index('${') :])}; {mend}")


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
    require_there(config, run, mend)
    return config.of_joints(skeleton)


def require_there(config: DataConfig, run: str | os.PathLike[str], mend: str = MEND) -> None:
    """Raise InputError if the data of `run` are gone, or would have to be made outside the present folder."""
    for part in config.parts():
        root = Path(part.root).resolve()
        there = root.is_file() or any(path.is_file() for path in root.rglob("*"))
        if not there and not (LAYOUTS.get(part.layout).makes and root.is_relative_to(Path.cwd())):
            moved = " ".join(f"{setting}=..." for setting in config.root_settings())
            raise InputError(
                f"{os.fspath(run)} was trained on data that are looked for in {part.root}, where nothing is; "
                f"if they moved, give {moved}, else {mend}"
            )


def joints_of(config: DataConfig) -> Skeleton:
    """The joints that the data are read with."""
    from ..pose.skeletons import Skeleton
    from .mix import join_joints

    return join_joints(config)[0] if config.sources else Skeleton.load(config.skeleton)


def require_joints(
    config: DataConfig, found: Skeleton, who: str, where: str = "", mend: str = "choose data of its joints"
) -> None:
    """Raise InputError unless the joints that `who` finds are those of the data, in that order.

    The data need not be there yet. In the message they are called `where`, if that is given.
    """
    labelled = joints_of(config)
    if found.joints != labelled.joints:
        raise InputError(
            f"{who} finds the {found.num_joints} joints of {found.name!r}, {where or config.described()} "
            f"labels the {labelled.num_joints} of {labelled.name!r}; {mend} "
            f"(found: {', '.join(found.joints)}; labelled: {', '.join(labelled.joints)})"
        )


def ensure_data(config: DataConfig) -> None:
    """Make the data sets that are not there yet and whose layouts can."""
    for part in config.parts():
        layout = LAYOUTS.get(part.layout)
        if layout.makes:
            layout.prepare(part)


def open_split(config: DataConfig, role: str) -> PoseDataset:
    """Open the split that plays `role` (train, val or test), rendering the set on first use.

    Raises:
        InputError: the data set is missing or broken, or `role` is none of the three.
    """
    config.split_name(role)
    ensure_data(config)
    return open_ready_split(config, role)


def spread_images(config: DataConfig, role: str, count: int) -> list[UInt8Image]:
    """At most `count` images evenly spread over the split that plays `role`; of a set that is not rendered
    yet these alone are, and nothing is written.

    Raises:
        InputError: as `open_split`.
    """
    from .plan import evenly

    name = config.split_name(role)
    made = None if config.sources else LAYOUTS.get(config.layout).spread(config, name, count)
    if made is not None:
        return made
    dataset = open_split(config, role)
    return [dataset.read_image(index) for index in evenly(len(dataset), count)]


def open_ready_split(config: DataConfig, role: str) -> PoseDataset:
    """`open_split` of a data set that is there already.

    Raises:
        InputError: as `open_split`.
    """
    from .mix import open_mix
    from .opening import open_dataset

    if config.skeleton == UNION and not config.sources:
        raise InputError(f"data.skeleton={UNION} is for a mix; give its data sets with data.sources")
    return open_mix(config, role) if config.sources else open_dataset(config, config.split_name(role))
