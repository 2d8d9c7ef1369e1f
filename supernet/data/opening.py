"""The single entry to every data set."""

from __future__ import annotations

import logging

from ..errors import InputError
from .cache import cached
from .coco import load_coco
from .crowdpose import load_crowdpose
from .dataset import PoseDataset
from .options import DataOptions

_LOG = logging.getLogger(__name__)
_LOADERS = {"crowdpose": load_crowdpose, "coco": load_coco}


def open_dataset(options: DataOptions, split: str) -> PoseDataset:
    """Open `split` of the data set that `options` describe.

    Args:
        split: a split's name such as `options.train_split`.

    Raises:
        InputError: the layout is unknown, or the files are missing or broken.
    """
    if options.layout not in _LOADERS:
        raise InputError(f"data.layout={options.layout!r} is not one of {', '.join(_LOADERS)}")
    load = _LOADERS[options.layout]
    dataset = load(
        options.root, split, skeleton=options.skeleton, on_error=options.on_error, verify=options.verify
    )
    if dataset.skipped:
        _LOG.warning(
            "%s: %d records left out (data.on_error=skip), the first: %s; supernet.audit lists all",
            dataset.name,
            len(dataset.skipped),
            dataset.skipped[0],
        )
    return cached(dataset) if options.cache == "memory" else dataset
