"""Where the files of a data set lie: one object per way of laying them out, found by name (`data.layout`)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..registry import Registry
from ..runs.files import read_json
from .images.store import Store

if TYPE_CHECKING:
    from .source import DataConfig


@dataclass(frozen=True)
class Split:
    """One split as a layout found it.

    Attributes:
        name: for messages, such as "crowdpose-val".
        documents: what each annotation is called in messages, and its content in COCO's form; several are
            joined.
        folders: where images may lie in the data set; the first that holds one counts.
    """

    name: str
    documents: Sequence[tuple[str, Any]]
    folders: Sequence[str]


class Layout:
    """One way of laying files out.

    Attributes:
        protocol: how data of one's own joints are scored where `data.protocol` does not say it.
    """

    protocol = "crowdpose"

    def prepare(self, config: DataConfig) -> None:
        """Make what is not there yet; safe to call from several processes at once."""
        if config.render is not None:
            from .synthetic.dataset import ensure

            ensure(config.root, replace(config.render, poses=config.poses or config.render.poses))

    def split(self, store: Store, name: str) -> Split:
        """The split called `name`.

        Args:
            store: the files under the data set's root.
            name: as in `data.train_split`; a path ending in .json is that one annotation file.

        Raises:
            InputError: it is not there, or not readable.
        """
        raise NotImplementedError


def read_document(store: Store, file: str) -> tuple[str, Any]:
    """The name for messages and the content of a JSON file in `store`, or elsewhere.

    Raises:
        InputError: it is missing or no JSON.
    """
    if not store.exists(file):
        return file, read_json(file, "annotation file")
    try:
        return store.describe(file), json.loads(store.read(file))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{store.describe(file)} is not valid JSON ({error}); is it truncated?") from None


_JOINED = {"trainval": ("train", "val")}
_SHORT = {"train": ("train2017",), "val": ("val2017",), "trainval": ("train2017", "val2017")}


def beside(store: Store, files: Sequence[str]) -> list[str]:
    """The folders of annotation files, which names of images may be relative to."""
    return [os.path.dirname(file if store.exists(file) else os.path.abspath(file)) or "." for file in files]


class CrowdPoseLayout(Layout):
    """`images/`, and `crowdpose_{split}.json` in a folder of its own."""

    # The first is what this toolkit writes, the others are what people have.
    folders = ("json", "annotations", "CrowdPose/annotations")

    def split(self, store: Store, name: str) -> Split:
        if name.endswith(".json"):
            files = [name]
        else:
            files = [self._file(store, part) for part in _JOINED.get(name, (name,))]
        title = f"crowdpose-{os.path.basename(name).removesuffix('.json')}"
        return Split(title, [read_document(store, file) for file in files], ["images", *beside(store, files)])

    def _file(self, store: Store, split: str) -> str:
        names = [f"{folder}/{name}.json" for name in (f"crowdpose_{split}", split) for folder in self.folders]
        for name in names:
            if store.exists(name):
                return name
        raise InputError(
            f"{store.describe(names[0])} does not exist; is {store.root} in the CrowdPose layout?"
        )


class CocoLayout(Layout):
    """`{split}/` or `images/{split}/`, and `annotations/person_keypoints_{split}.json`."""

    protocol = "coco"

    def split(self, store: Store, name: str) -> Split:
        title = os.path.basename(name).removesuffix(".json")
        if name.endswith(".json"):
            parts, files = [title.removeprefix("person_keypoints_")], [name]
        else:
            parts = [name] if store.exists(self._file(store, name)) else list(_SHORT.get(name, (name,)))
            files = [self._file(store, part) for part in parts]
            for file in files:
                if not store.exists(file):
                    raise InputError(
                        f"{store.describe(file)} does not exist; is {store.root} in the COCO layout?"
                    )
        folders = [folder for part in parts for folder in (part, f"images/{part}")] + ["images"]
        documents = [read_document(store, file) for file in files]
        return Split(f"coco-{title}", documents, [*folders, *beside(store, files)])

    def _file(self, store: Store, split: str) -> str:
        """COCO's own name, or what annotation tools make of it; the first if there is none."""
        own = f"annotations/person_keypoints_{split}.json"
        others = (f"annotations/{split}.json", f"{split}/_annotations.coco.json", f"{split}.json")
        return next((name for name in (own, *others) if store.exists(name)), own)


class SyntheticLayout(CrowdPoseLayout):
    """Scenes in the CrowdPose layout that are rendered first."""

    def prepare(self, config: DataConfig) -> None:
        from .synthetic.options import SyntheticOptions

        super().prepare(replace(config, render=config.render or SyntheticOptions()))


CROWDPOSE, COCO, SYNTHETIC = CrowdPoseLayout(), CocoLayout(), SyntheticLayout()
LAYOUTS: Registry[Layout] = Registry(
    "layout", {name: f"{__name__}:{name.upper()}" for name in ("crowdpose", "coco", "synthetic")}
)
