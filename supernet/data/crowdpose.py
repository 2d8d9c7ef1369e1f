"""CrowdPose (Li et al., CVPR 2019): `images/*.jpg` and `json/crowdpose_{train,val,test}.json`."""

from __future__ import annotations

import os

from ..errors import InputError
from ..pose.skeletons import Skeleton
from .assemble import assemble
from .dataset import PoseDataset
from .store import Store

# The first is the layout of this toolkit, the others are what people have on disk.
_ANNOTATION_FOLDERS = ("json", "annotations", "CrowdPose/annotations")
_IMAGE_FOLDERS = ("images",)
_JOINED = {"trainval": ("train", "val")}


def load_crowdpose(
    root: str | os.PathLike[str],
    split: str,
    *,
    skeleton: str | Skeleton = "crowdpose",
    on_error: str = "raise",
    verify: str = "headers",
) -> PoseDataset:
    """Open one split of a data set in the CrowdPose layout.

    Args:
        root: a folder or a .zip.
        split: "train", "val", "test", "trainval" (train and val joined), any other
            `crowdpose_{split}.json`, or the path of one annotation file.
        skeleton: a joint layout or its name.
        on_error, verify: as in `DataOptions`.

    Raises:
        InputError: a file is missing or broken; the message names it and what to do.
    """
    layout = skeleton if isinstance(skeleton, Skeleton) else Skeleton.load(skeleton)
    store = Store(root)
    if split.endswith(".json"):
        files = [split]
    else:
        files = [_annotation_file(store, part) for part in _JOINED.get(split, (split,))]
    name = f"crowdpose-{os.path.basename(split).removesuffix('.json')}"
    return assemble(
        name, layout, store, files, _IMAGE_FOLDERS, layout="crowdpose", on_error=on_error, verify=verify
    )


def _annotation_file(store: Store, split: str) -> str:
    names = [f"{folder}/crowdpose_{split}.json" for folder in _ANNOTATION_FOLDERS]
    names += [f"{folder}/{split}.json" for folder in _ANNOTATION_FOLDERS]
    for name in names:
        if store.exists(name):
            return name
    raise InputError(f"{store.describe(names[0])} does not exist; is {store.root} in the CrowdPose layout?")
