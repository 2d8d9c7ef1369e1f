"""Where the files of a data set lie: one object per way of laying them out, found by name (`data.layout`)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..registry import Registry
from ..runs.files import decoded, parse_json, parse_yaml, read_json
from .images.store import Store

if TYPE_CHECKING:
    from .images.decode import Header, UInt8Image
    from .options import SourceOptions
    from .synthetic.options import SyntheticOptions


@dataclass(frozen=True)
class Split:
    """One split as a layout found it.

    Attributes:
        name: for messages, such as "crowdpose-val".
        documents: what each annotation is called in messages, and its content in COCO's form, or a function
            that gives it for the view that was labelled (`DataOptions.exif`); several are joined.
        folders: where images may lie in the data set; the first that holds one counts.
        beside: the folders of the annotation files; images may lie there, or where paths from there go.
    """

    name: str
    documents: Sequence[tuple[str, Any]]
    folders: Sequence[str]
    beside: Sequence[str] = ()


class Layout:
    """One way of laying files out.

    Attributes:
        protocol: how data of one's own joints are scored where `data.protocol` does not say it.
        has_people: whether there are any.
        makes: whether `prepare` writes the files; others are never written to.
    """

    protocol = "crowdpose"
    has_people = True
    makes = False

    def prepare(self, config: SourceOptions) -> None:
        """Make what is not there yet, if it `makes`; safe to call from several processes at once."""

    def spread(self, config: SourceOptions, name: str, count: int) -> list[UInt8Image] | None:
        """At most `count` images evenly spread over a split, if it `makes` and has not yet: these alone, and
        nothing is written. None means that the split is to be opened.
        """
        return None

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
        return Split(title, [read_document(store, file) for file in files], ["images"], beside(store, files))

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
        return Split(f"coco-{title}", documents, folders, beside(store, files))

    def _file(self, store: Store, split: str) -> str:
        """COCO's own name, or what annotation tools make of it; the first if there is none."""
        own = f"annotations/person_keypoints_{split}.json"
        others = (f"annotations/{split}.json", f"{split}/_annotations.coco.json", f"{split}.json")
        return next((name for name in (own, *others) if store.exists(name)), own)


class EmptyLayout(Layout):
    """Pictures in which there is nobody: those in the folder of the split, or of the data set."""

    has_people = False

    def split(self, store: Store, name: str) -> Split:
        files = _pictures(store.list(name) or store.list(""))
        if not files:
            raise InputError(f"{store.root} has no pictures")
        images = [image for image, _ in _seen(store, files)]
        document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "person"}]}
        return Split(f"empty-{name}", [(str(store.root), document)], [])


class SyntheticLayout(CrowdPoseLayout):
    """Scenes in the CrowdPose layout that are rendered first."""

    makes = True

    def prepare(self, config: SourceOptions) -> None:
        from .synthetic.dataset import ensure

        ensure(config.root, self._options(config))

    def spread(self, config: SourceOptions, name: str, count: int) -> list[UInt8Image] | None:
        from .synthetic.dataset import spread

        return spread(config.root, self._options(config), name, count)

    def _options(self, config: SourceOptions) -> SyntheticOptions:
        from .synthetic.options import SyntheticOptions

        render = config.render or SyntheticOptions()
        return replace(render, poses=config.poses or render.poses)


class YoloLayout(Layout):
    """YOLO-pose: `data.yaml`, `images/{split}/`, and for each image a `labels/{split}/*.txt`.

    A line of a label file is `class x y w h` and `x y v` (or `x y`) of every joint, as shares of the picture;
    an image without a file, or with an empty one, has nobody. Paths are looked for by their last parts, so
    that the `data.yaml` of another computer serves; two that would be one place are refused.
    """

    protocol = "coco"

    def split(self, store: Store, name: str) -> Split:
        where = store.describe("data.yaml")
        about = parse_yaml(decoded(store.read("data.yaml"), where), where)
        about = about if isinstance(about, Mapping) else {}
        shape, categories = self._categories(about, where)
        files = self._images(store, about, name, where)
        document = partial(self._document, store, files, shape, categories)
        return Split(f"yolo-{name}", [(where, document)], [])

    def _categories(self, about: Mapping[str, Any], where: str) -> tuple[list[int], list[dict[str, Any]]]:
        """`kpt_shape` (joints, and 2 or 3 values for each), and the classes as COCO's categories."""
        names, shape = about.get("names"), about.get("kpt_shape")
        if not isinstance(names, (Mapping, list)):
            raise InputError(f"{where} has no names of its classes")
        names = names if isinstance(names, Mapping) else dict(enumerate(names))
        if not all(str(key).isdecimal() for key in names):
            raise InputError(f"{where}: names has {list(names)[:3]} for class numbers")
        if (
            not isinstance(shape, list)
            or [*map(type, shape)] != [int, int]
            or shape[0] < 1
            or shape[1] not in (2, 3)
        ):
            raise InputError(f"{where}: kpt_shape is {shape!r:.40}, not [number of joints, 2 or 3]")
        joints = about.get("kpt_names")
        joints = joints if isinstance(joints, Mapping) else dict.fromkeys(names, joints)
        for key, listed in joints.items():
            if listed and (not isinstance(listed, list) or len(listed) != shape[0]):
                raise InputError(f"{where}: kpt_names of class {key} are not the {shape[0]} of kpt_shape")
        unnamed = [str(joint) for joint in range(shape[0])]
        alone = [key for key, name in names.items() if name == "person" or len(names) == 1]
        return shape, [
            {
                "id": int(key),
                "name": str(name),
                "keypoints": joints.get(key) or (unnamed if key in alone else []),
                "flip_idx": about.get("flip_idx"),
            }
            for key, name in names.items()
        ]

    def _images(self, store: Store, about: Mapping[str, Any], name: str, where: str) -> list[str]:
        """The image files of a split: those of folders, or listed in text files."""
        given = about.get(name)
        places: list[Any] = given if isinstance(given, list) else [given]
        if not places or not all(isinstance(place, str) and place for place in places):
            raise InputError(f"{where} names no images for split {name!r} ({name}: {given!r:.40})")

        @cache
        def pictures(folder: str) -> list[str]:
            return _pictures(store.list(folder))

        def here(place: str, there: Callable[[str], Any]) -> str:
            own = _parts(place)
            parts = _parts(str(about.get("path") or "")) + own
            ends = ("/".join(parts[first:]) for first in range(len(parts)))
            end = next((end for end in ends if there(end)), None)
            known = told.setdefault(end, []) if end else [own]
            for other in known if own not in known else ():
                short, long = sorted((own, other), key=len)
                if long[len(long) - len(short) :] != short:
                    raise InputError(
                        f"{where} tells {'/'.join(other)} and {'/'.join(own)} apart, but in {store.root} "
                        f"only {end} is there for both; put the files where it says"
                    )
            known += [own] * (own not in known)
            return end or "/".join(parts)

        told: dict[str, list[list[str]]] = {}
        found: list[str] = []
        for place in places:
            if place.endswith(".txt"):
                file = here(place, store.exists)
                lines = decoded(store.read(file), store.describe(file)).splitlines()
                found += [here(line.strip(), store.exists) for line in lines if line.strip()]
            else:
                found += pictures(here(place, pictures))
        if any(len(own) > len(_parts(end)) for end, (own, *_) in told.items()):
            for place in [value for key in ("train", "val", "test") for value in _listed(about.get(key))]:
                here(place, store.exists if place.endswith(".txt") else pictures)
        found = list(dict.fromkeys(found))
        if not found:
            raise InputError(f"{store.root} has no images in {given}, where {where} says they are")
        return found

    def _document(
        self, store: Store, files: list[str], shape: list[int], categories: list[dict[str, Any]], view: str
    ) -> dict[str, Any]:
        """The label files in COCO's form, of pictures seen in that `view` (`DataOptions.exif`)."""
        from .images.orientation import undecided

        images: list[dict[str, Any]] = []
        people: list[dict[str, Any]] = []
        labels = [_label_file(file) for file in files]
        if not any(map(store.exists, labels)):
            raise InputError(
                f"none of the {len(files)} images has a label file such as {store.describe(labels[0])}"
            )
        for (image, header), label in zip(_seen(store, files, view), labels, strict=True):
            images.append(image)
            if header is None or not store.exists(label):
                continue
            lines = decoded(store.read(label), store.describe(label)).splitlines()
            if header.orientation != 1 and view == "auto" and any(line.strip() for line in lines):
                raise undecided(store.describe(image["file_name"]), header)
            for place, line in enumerate(lines, start=1):
                if line.strip():
                    person = _yolo_person(line, shape, image["width"], image["height"])
                    where = f"{store.describe(label)}: line {place}"
                    people.append({**person, "id": len(people) + 1, "image_id": image["id"], "where": where})
        return {"images": images, "annotations": people, "categories": categories}


def _pictures(files: Iterable[str]) -> list[str]:
    from .images.decode import is_picture

    return [file for file in files if is_picture(file)]


def _seen(
    store: Store, files: Iterable[str], view: str = "upright"
) -> Iterator[tuple[dict[str, Any], Header | None]]:
    """COCO's entries of pictures seen in that `view` (`DataOptions.exif`), and their headers.

    What cannot be read has a size of 1x1 and no header: opening names it, or leaves it out.
    """
    from .images.decode import image_header, upright_size

    for number, file in enumerate(files, start=1):
        size, header = (1, 1), None
        with suppress(InputError):
            header = image_header(partial(store.read, file), store.describe(file))
            size = (header.width, header.height) if view == "stored" else upright_size(header)
        yield {"id": number, "file_name": file, "width": size[0], "height": size[1]}, header


def _parts(path: str) -> list[str]:
    """The folders of a path and its last name, without what leads upwards."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]


def _listed(given: Any) -> list[str]:
    """The places of a split, one or several."""
    places = given if isinstance(given, list) else [given]
    return [place for place in places if isinstance(place, str) and place]


def _label_file(image: str) -> str:
    """Where the labels of an image lie: in `labels/` for `images/`, else beside it."""
    head, images, tail = f"/{image}".rpartition("/images/")
    return (f"{head}/labels/{tail}" if images else image).lstrip("/").rpartition(".")[0] + ".txt"


def _yolo_person(line: str, shape: list[int], width: int, height: int) -> dict[str, Any]:
    """A line of a label file as COCO's annotation, in pixels; what is no such line goes as it is."""
    import numpy as np

    values: list[Any] = [_float_of(word) for word in line.split()]
    kind, box, joints = values[0], values[1:5], values[5:]
    keypoints: Any = joints
    if len(joints) != math.prod(shape):
        keypoints = f"{len(joints)} values, kpt_shape {shape}"
    elif all(isinstance(value, float) for value in values):
        points = np.reshape(joints, shape) * [width, height, 1][: shape[1]]
        if shape[1] == 2:
            points = np.column_stack([points, np.where(points.any(axis=1), 2, 0)])
        keypoints = points.ravel().tolist()
        x, y, w, h = box
        box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
        kind = int(kind) if kind.is_integer() else kind
    return {"category_id": kind, "bbox": box, "keypoints": keypoints}


def _float_of(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word


CROWDPOSE, COCO, SYNTHETIC, YOLO = CrowdPoseLayout(), CocoLayout(), SyntheticLayout(), YoloLayout()
EMPTY = EmptyLayout()
LAYOUTS: Registry[Layout] = Registry(
    "layout",
    {name: f"{__name__}:{name.upper()}" for name in ("crowdpose", "coco", "synthetic", "yolo", "empty")},
)
