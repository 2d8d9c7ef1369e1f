"""Where the files of a data set lie: one object per way of laying them out, found by name (`data.layout`)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..registry import Registry
from ..runs.files import parse_json, parse_yaml, read_json
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
    return store.describe(file), parse_json(store.read(file), store.describe(file))


_JOINED = {"trainval": ("train", "val")}
_SHORT = {"train": ("train2017",), "val": ("val2017",), "trainval": ("train2017", "val2017")}

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


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


class YoloLayout(Layout):
    """YOLO-pose: `data.yaml`, `images/{split}/`, and for each image a `labels/{split}/*.txt`.

    A line of a label file is `class x y w h` and `x y v` (or `x y`) of every joint, as shares of the upright
    picture; an image without a file, or with an empty one, has nobody.
    """

    protocol = "coco"

    def split(self, store: Store, name: str) -> Split:
        about = parse_yaml(store.read("data.yaml").decode(errors="replace"), store.describe("data.yaml"))
        classes = about.get("names") if isinstance(about, Mapping) else None
        if not isinstance(classes, (Mapping, list)) or name not in about:
            raise InputError(f"{store.describe('data.yaml')} has no names, or no split {name!r}")
        names = classes if isinstance(classes, Mapping) else dict(enumerate(classes))
        if not all(str(key).isdecimal() for key in names):
            raise InputError(f"{store.describe('data.yaml')}: names has {list(names)[:3]} for class numbers")
        joints = about.get("kpt_names")
        joints = joints if isinstance(joints, Mapping) else dict.fromkeys(names, joints)
        shape = about.get("kpt_shape")
        images: list[dict[str, Any]] = []
        people: list[dict[str, Any]] = []
        from .images.decode import image_header, upright_size

        for file in self._images(store, about[name]):
            header = image_header(partial(store.read, file), store.describe(file))
            width, height = upright_size(header)
            images.append({"id": len(images) + 1, "file_name": file, "width": width, "height": height})
            head, _, tail = f"/{file}".rpartition("/images/")
            label = f"{head}/labels/{tail}".lstrip("/").rpartition(".")[0] + ".txt"
            lines = store.read(label).decode(errors="replace").splitlines() if store.exists(label) else []
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    person = self._person(
                        line, shape, width, height, f"{store.describe(label)}: line {number}"
                    )
                    people.append({**person, "id": len(people) + 1, "image_id": len(images)})
        categories = [
            {"id": int(key), "name": str(value)} | ({"keypoints": joints[key]} if joints.get(key) else {})
            for key, value in names.items()
        ]
        document = {"images": images, "annotations": people, "categories": categories}
        return Split(f"yolo-{name}", [(store.describe("data.yaml"), document)], [])

    def _images(self, store: Store, where: Any) -> list[str]:
        """The image files of a split: those of folders, or listed in text files."""
        found: list[str] = []
        for place in map(str, where if isinstance(where, list) else [where]):
            place = os.path.normpath(place.removeprefix("../")).replace("\\", "/")
            if place.endswith(".txt"):
                lines = store.read(place).decode(errors="replace").split("\n")
                found += [os.path.normpath(line.strip()) for line in lines if line.strip()]
            else:
                found += [name for name in store.list(place) if name.lower().endswith(IMAGE_SUFFIXES)]
        if not found:
            raise InputError(f"{store.root} has no images in {where}, where data.yaml says they are")
        return found

    def _person(self, line: str, shape: Any, width: int, height: int, where: str) -> dict[str, Any]:
        import numpy as np

        try:
            kind, x, y, w, h, *joints = (float(value) for value in line.split())
            size = 2 if shape == [len(joints) // 2, 2] else 3
            points = np.reshape(joints, (-1, size)) * ([width, height, 1][:size])
            if kind != (number := int(kind)):
                raise ValueError
        except (ValueError, OverflowError):
            raise InputError(f"{where} is not class, box and joints of a YOLO-pose label") from None
        if size == 2:
            points = np.column_stack([points, np.where(points.any(axis=1), 2, 0)])
        box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        return {"category_id": number, "keypoints": points.ravel().tolist(), "bbox": box}


CROWDPOSE, COCO, SYNTHETIC, YOLO = CrowdPoseLayout(), CocoLayout(), SyntheticLayout(), YoloLayout()
LAYOUTS: Registry[Layout] = Registry(
    "layout", {name: f"{__name__}:{name.upper()}" for name in ("crowdpose", "coco", "synthetic", "yolo")}
)
