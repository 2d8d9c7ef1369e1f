"""COCO keypoints (Lin et al., ECCV 2014): `{split}/*.jpg` and `annotations/person_keypoints_{split}.json`."""

from __future__ import annotations

import os

from ..errors import InputError
from ..pose.skeletons import Skeleton
from .assemble import assemble
from .dataset import PoseDataset
from .store import Store

_YEAR = "2017"
_SHORT = {"train": ("train" + _YEAR,), "val": ("val" + _YEAR,), "trainval": ("train" + _YEAR, "val" + _YEAR)}


def load_coco(
    root: str | os.PathLike[str],
    split: str,
    *,
    skeleton: str | Skeleton = "coco",
    on_error: str = "raise",
    verify: str = "headers",
) -> PoseDataset:
    """Open one split of a data set in the COCO layout, images without any person included (COCO scores them).

    Args:
        root: a folder or a .zip; COCO's own zips inside the folder are read as they are.
        split: "train2017", "val2017", ("train", "val" and "trainval" mean those), any other folder that has a
            `person_keypoints_{split}.json`, or the path of one annotation file.
        skeleton: a joint layout or its name.
        on_error, verify: as in `DataOptions`.

    Raises:
        InputError: a file is missing or broken; the message names it and what to do.
    """
    layout = skeleton if isinstance(skeleton, Skeleton) else Skeleton.load(skeleton)
    store = Store(root)
    name = os.path.basename(split).removesuffix(".json")
    if split.endswith(".json"):
        parts, files = [name.removeprefix("person_keypoints_")], [split]
    else:
        parts = [split] if store.exists(_file(split)) else list(_SHORT.get(split, (split,)))
        files = [_file(part) for part in parts]
        for file in files:
            if not store.exists(file):
                raise InputError(
                    f"{store.describe(file)} does not exist; is {store.root} in the COCO layout?"
                )
    folders = [folder for part in parts for folder in (part, f"images/{part}")] + ["images"]
    return assemble(
        f"coco-{name}", layout, store, files, folders, layout="coco", on_error=on_error, verify=verify
    )


def _file(split: str) -> str:
    return f"annotations/person_keypoints_{split}.json"
