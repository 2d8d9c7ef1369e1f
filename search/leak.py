"""Whether a search is scored on images that the supernet was trained on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from supernet.errors import InputError

if TYPE_CHECKING:
    from supernet.data.dataset import PoseDataset
    from supernet.data.source import DataConfig

SHOWN = 3


def trained_on(known: Mapping[str, Any] | None, data: DataConfig) -> PoseDataset:
    """The split that a supernet saw, for `leak_warning`.

    Args:
        known: the data settings of its training, if it keeps them.
        data: where the search reads. The split is read there if that is the data of the training (however
            its path is written), or if the data of the training is gone.
    """
    from supernet.data.source import data_from
    from supernet.data.source import open_ready_split
    from supernet.data.source import open_split

    if known:
        training = data_from(known)
        there, here = Path(training.root).resolve(), Path(data.root).resolve()
        if there == here or not there.exists():
            training = replace(data, train_split=training.train_split)
        # What is broken, or other data without a split of that name, is no reason not to search.
        with contextlib.suppress(InputError):
            return open_ready_split(training, "train")
    return open_split(data, "train")


def leak_warning(trained_on: PoseDataset, scored_on: PoseDataset) -> str | None:
    """One line that warns if the two splits share images, else None.

    A search scored on training images prefers subnets that remember them; the paper's scores and these would
    not be comparable either.
    """
    # Other data sets use the same numbers for other images.
    seen = {(record.image_id, record.file_name) for record in trained_on.records}
    scored = {(record.image_id, record.file_name) for record in scored_on.records}
    shared = sorted(image_id for image_id, _ in scored & seen)
    if not shared:
        return None
    some = ", ".join(str(image) for image in shared[:SHOWN])
    return (
        f"data leak: {len(shared)} of {len(scored_on)} images of the search split {scored_on.name} "
        f"were trained on (image ids {some}{', ...' if len(shared) > SHOWN else ''}); train on a split "
        "of its own (data.train_split=train) for scores that mean something"
    )
