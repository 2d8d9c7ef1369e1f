"""EXIF orientation: labels end on the people, or the data set is refused; never silently beside them."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from supernet.data import DataOptions, open_dataset
from supernet.data.annotations.records import Record
from supernet.data.images.decode import Header, decode_rgb, exif_orientation, image_header, upright
from supernet.data.images.orientation import Looked, settle
from supernet.errors import InputError

JOINTS = 14
# The person is a bright square, its labels lie on it.
BRIGHT = (250, 240, 40)


def encoded(stored: np.ndarray, orientation: int, form: str = "JPEG") -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    buffer = io.BytesIO()
    lossless = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    Image.fromarray(stored).save(buffer, form, exif=tags, **lossless)
    return buffer.getvalue()


def as_stored(image: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels that the camera writes for what is upright `image`."""
    return upright(image, {6: 8, 8: 6}.get(orientation, orientation))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_read_upright_and_as_stored(form: str, orientation: int) -> None:
    image = np.zeros((24, 40, 3), np.uint8)
    image[:8, :24] = BRIGHT
    stored = as_stored(image, orientation)
    data = encoded(stored, orientation, form)
    assert exif_orientation(data) == orientation
    header = image_header(lambda size: data if size < 0 else data[:size], "it")
    if form != "TIFF":
        assert (header.width, header.height) == stored.shape[1::-1]
    for asked, wanted in ((False, image), (True, stored)):
        found = decode_rgb(data, "it", stored=asked)
        assert found.shape == wanted.shape
        assert np.abs(found.astype(int) - wanted).mean() < 8


def write(
    root: Path,
    size: tuple[int, int],
    places: list[tuple[int, int]],
    orientation: int,
    upright_sizes: bool,
    on_stored: bool,
) -> None:
    """Photographs of `size` (upright width and height), one person in each, at one of `places`."""
    (root / "images").mkdir(parents=True)
    (root / "json").mkdir()
    images, people = [], []
    for number, (x, y) in enumerate(places, start=1):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        image[y : y + 8, x : x + 8] = BRIGHT
        stored = as_stored(image, orientation)
        (root / "images" / f"{number}.jpg").write_bytes(encoded(stored, orientation))
        labelled = stored if on_stored else image
        rows, columns = np.nonzero(labelled[..., 0])
        points = np.linspace((columns.min(), rows.min()), (columns.max(), rows.max()), JOINTS) + 0.5
        joints = np.column_stack([points, np.full(JOINTS, 2)]).ravel().tolist()
        box = [float(v) for v in (columns.min(), rows.min(), 8, 8)]
        sizes = image.shape if upright_sizes else stored.shape
        images.append({"id": number, "file_name": f"{number}.jpg", "width": sizes[1], "height": sizes[0]})
        person = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": 12}
        people.append({**person, "keypoints": joints, "bbox": box})
    document = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (root / "json" / "crowdpose_train.json").write_text(json.dumps(document))


def share_on_people(options: DataOptions) -> float:
    """The share of all labelled joints that lie on the bright square."""
    dataset = open_dataset(options, "train")
    hits = []
    for index, record in enumerate(dataset.records):
        image = dataset.read_image(index)
        columns, rows = np.floor(record.keypoints[0, :, :2]).astype(int).T
        inside = (columns < image.shape[1]) & (rows < image.shape[0])
        hits += list(
            inside
            & (image[np.minimum(rows, len(image) - 1), np.minimum(columns, image.shape[1] - 1), 0] > 120)
        )
    return float(np.mean(hits))


SHAPES = {"tall": (48, 96), "wide": (96, 48), "square": (64, 64)}
COMBINATIONS = [*itertools.product(SHAPES, range(1, 9), (True, False), (True, False))]


@pytest.mark.parametrize("verify", ["headers", "none"])
@pytest.mark.parametrize("spread", [True, False])
def test_labels_end_on_the_people_or_are_refused(tmp_path: Path, spread: bool, verify: str) -> None:
    """Over orientation, size order and label frame; people all over the picture, or in the middle alone."""
    right = refused = 0
    for number, (shape, orientation, upright_sizes, on_stored) in enumerate(COMBINATIONS):
        width, height = SHAPES[shape]
        places = [(2, 3), (width - 10, height - 11), (width // 2, 4)]
        middle = min(width, height) // 2
        if not spread:
            places = [(middle - 6, middle - 12), (middle - 2, middle - 2)]
        root = tmp_path / str(number)
        write(root, (width, height), places, orientation, upright_sizes, on_stored)
        try:
            share = share_on_people(DataOptions(root=str(root), verify=verify))
        except InputError as error:
            refused += "EXIF" in str(error)
            view = "stored" if on_stored else "upright"
            share = share_on_people(DataOptions(root=str(root), verify=verify, exif=view))
        right += share == 1
    assert right == len(COMBINATIONS)
    # In the middle nothing but the word of the user tells; at the edges only turns by 180 degrees, mirror
    # images and square pictures keep every label inside.
    ambiguous = [c for c in COMBINATIONS if c[1] != 1 and (not spread or c[1] < 5 or c[0] == "square")]
    assert refused == len(ambiguous) if spread and verify == "headers" else refused


def record_of(points: np.ndarray, size: tuple[int, int]) -> Record:
    keypoints = np.column_stack([points, np.full(len(points), 2)])[None]
    box = np.concatenate([points.min(axis=0), np.ptp(points, axis=0)])[None]
    few = np.zeros(1, np.int64)
    return Record(1, "1.jpg", *size, np.nan, keypoints, box, few, few > 0, np.full(1, np.nan), few)


def set_of(
    shape: str,
    orientation: int,
    frames: list[bool],
    sizes: list[bool],
    overhang: int,
    joints: int,
    spread: bool,
) -> list[tuple[Record, Header, bool]]:
    """Pictures with one person each, whose labels are on the stored view where `frames` says so.

    In the first an edge of the view is overhung, in the middle of the picture or by somebody at its far end.
    """
    width, height = SHAPES[shape]
    stored = (height, width) if orientation >= 5 else (width, height)
    found = []
    for number, (on_stored, upright_sizes) in enumerate(zip(frames, sizes, strict=True)):
        view = np.array(stored if on_stored else (width, height))
        far = view - 9 if spread and number % 2 else np.full(2, view.min() // 2 - 4)
        points = far + np.linspace((0, 0), (8, 8), joints)
        if number == 0 and overhang:
            points[-1] = np.add(view, (overhang, -20) if orientation % 2 else (-20, overhang))
        size = (width, height) if upright_sizes else stored
        found.append((record_of(points, size), Header(*stored, orientation), on_stored))
    return found


FRAMES = {
    "alone": [False],
    "alone, stored": [True],
    "six": [False] * 6,
    "six, stored": [True] * 6,
    "mixed": [False, True, True, False, True, False],
    "one of six": [False] * 5 + [True],
}


@pytest.mark.parametrize("joints", [1, JOINTS])
@pytest.mark.parametrize("frames", FRAMES)
def test_joints_that_hang_over_an_edge_are_nobodys_view(frames: str, joints: int) -> None:
    """No picture ends silently on the other view, and no label of one that is whole is refused for it."""
    sides = FRAMES[frames]
    silent = 0
    for shape, orientation, overhang, spread in itertools.product(
        SHAPES, range(2, 9), range(7), (True, False)
    ):
        # Sizes of the upright view, of the stored one, and of the view that was labelled.
        for sizes in ([True] * len(sides), [False] * len(sides), [not side for side in sides]):
            found = set_of(shape, orientation, sides, sizes, overhang, joints, spread)
            # Nothing tells that of a mixed set some were labelled on the other view: its sizes do, or places.
            if len(set(sides)) == 2 and not spread and sizes[0] == sizes[-1]:
                continue
            records, headers, truth = zip(*found, strict=True)
            names = [f"{number}.jpg" for number in range(len(sides))]
            for told, on_stored, name in zip(
                settle(records, headers, names, "auto"), truth, names, strict=True
            ):
                if isinstance(told, Looked):
                    assert told.record.stored == on_stored, (
                        shape,
                        orientation,
                        overhang,
                        spread,
                        sizes,
                        name,
                    )
                    silent += 1
                else:
                    assert name in str(told)
    assert silent > 0 or len(sides) == 1


def test_mixed_views_and_sizes_that_labels_contradict_are_named(tmp_path: Path, caplog: Any) -> None:
    places = [(2, 3), (38, 85), (20, 4)]
    write(tmp_path, SHAPES["tall"], places, 6, True, False)
    other = tmp_path / "other"
    write(other, SHAPES["tall"], [(20, 4), (38, 85), (2, 3)], 6, False, True)
    file = tmp_path / "json/crowdpose_train.json"
    document, more = (
        json.loads(file.read_text()),
        json.loads((other / file.relative_to(tmp_path)).read_text()),
    )
    for key in ("images", "annotations"):
        for entry in more[key]:
            entry["id"] += 10
            if key == "images":
                name = f"1{entry['file_name']}"
                (other / "images" / entry["file_name"]).rename(tmp_path / "images" / name)
                entry["file_name"] = name
            else:
                entry["image_id"] += 10
        document[key] += more[key]
    file.write_text(json.dumps(document))
    assert share_on_people(DataOptions(root=str(tmp_path))) == 1
    assert "3 images with an EXIF orientation" in caplog.text
    assert "3 on the upright one" in caplog.text
