"""EXIF orientation: labels end on the people, or the data set is refused; never silently beside them."""

from __future__ import annotations

import dataclasses
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
    """Photographs of `size` (upright width and height), two people in each, at and opposite to `places`."""
    (root / "images").mkdir(parents=True)
    (root / "json").mkdir()
    images, people = [], []
    for number, (x, y) in enumerate(places, start=1):
        image = np.zeros((size[1], size[0], 3), np.uint8)
        for left, top in ((x, y), (size[0] - 8 - x, size[1] - 8 - y)):
            one = np.zeros_like(image)
            one[top : top + 8, left : left + 8] = BRIGHT
            image |= one
            rows, columns = np.nonzero((as_stored(one, orientation) if on_stored else one)[..., 0])
            points = np.linspace((columns.min(), rows.min()), (columns.max(), rows.max()), JOINTS) + 0.5
            joints = np.column_stack([points, np.full(JOINTS, 2)]).ravel().tolist()
            box = [float(v) for v in (columns.min(), rows.min(), 8, 8)]
            person = {"id": len(people) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            people.append({**person, "num_keypoints": 12, "keypoints": joints, "bbox": box})
        stored = as_stored(image, orientation)
        (root / "images" / f"{number}.jpg").write_bytes(encoded(stored, orientation))
        sizes = image.shape if upright_sizes else stored.shape
        images.append({"id": number, "file_name": f"{number}.jpg", "width": sizes[1], "height": sizes[0]})
    document = {"images": images, "annotations": people, "categories": [{"id": 1, "name": "person"}]}
    (root / "json" / "crowdpose_train.json").write_text(json.dumps(document))


def share_on_people(options: DataOptions) -> float:
    """The share of all labelled joints that lie on the bright square."""
    dataset = open_dataset(options, "train")
    hits = []
    for index, record in enumerate(dataset.records):
        image = dataset.read_image(index)
        columns, rows = np.floor(record.keypoints[..., :2]).astype(int).reshape(-1, 2).T
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
    """Over orientation, size order and label frame; people at both ends of the picture, or in the middle."""
    right, refused = 0, []
    for number, (shape, orientation, upright_sizes, on_stored) in enumerate(COMBINATIONS):
        width, height = SHAPES[shape]
        middle = (width // 2 - 6, height // 2 - 6)
        root = tmp_path / str(number)
        write(root, (width, height), [(2, 3) if spread else middle], orientation, upright_sizes, on_stored)
        try:
            share = share_on_people(DataOptions(root=str(root), verify=verify))
        except InputError as error:
            if f"EXIF orientation {orientation}" in str(error):
                refused.append((shape, orientation, upright_sizes, on_stored))
            view = "stored" if on_stored else "upright"
            share = share_on_people(DataOptions(root=str(root), verify=verify, exif=view))
        right += share == 1
    assert right == len(COMBINATIONS)
    # In the middle nothing but the word of the user tells; at the ends only turns by 180 degrees, mirror
    # images and square pictures keep every label inside.
    ambiguous = [c for c in COMBINATIONS if c[1] != 1 and (not spread or c[1] < 5 or c[0] == "square")]
    assert refused == ambiguous


def picture(
    rng: np.random.Generator, orientation: int, on_stored: bool, shape: str, ends: bool
) -> tuple[Record, Header]:
    """Somebody in the middle of a picture, or at both its ends; a joint of one hangs over an edge."""
    width, height = SHAPES[shape]
    stored = (height, width) if orientation >= 5 else (width, height)
    view = np.array(stored if on_stored else (width, height))
    joints = int(rng.choice([3, JOINTS]))
    places = [np.zeros(2), view - 9] if ends else [view.min() // 2 - np.array([4, 4 + 8])]
    points = np.array([place + np.linspace((0, 0), (8, 8), joints) for place in places])
    axis, over = rng.integers(2), rng.uniform(0, 7)
    points[-1, -1, axis] = rng.choice([-over, view[axis] + over])
    keypoints = np.concatenate([points, np.full((*points.shape[:2], 1), 2)], axis=-1)
    low, size = points.min(axis=1), np.ptp(points, axis=1)
    few = np.zeros(len(places), np.int64)
    sides = view if rng.random() < 0.5 else view[::-1]
    boxes, areas = np.concatenate([low, size], axis=1), np.full(len(places), np.nan)
    record = Record(1, "1.jpg", *sides.tolist(), np.nan, keypoints, boxes, few, few > 0, areas, few)
    return record, Header(*stored, orientation)


@pytest.mark.parametrize("word", ["auto", "upright", "stored"])
@pytest.mark.parametrize("kind", ["mixed", "one odd", "alike"])
def test_of_a_set_of_many_kinds_no_picture_ends_silently_on_the_other_view(kind: str, word: str) -> None:
    """Whatever the other pictures are, each is told by itself or refused by name; joints hang over edges."""
    rng = np.random.default_rng(0)
    kinds = [*itertools.product(range(2, 9), (True, False), SHAPES, (True, False))]
    if kind != "mixed":
        odd = np.arange(len(kinds)) == (-1 if kind == "alike" else 70)
        kinds = [(o, bool(other), *rest) for (o, _, *rest), other in zip(kinds, odd, strict=True)]
    records, headers = zip(*(picture(rng, *one) for one in kinds), strict=True)
    names = [f"{number}.jpg" for number in range(len(kinds))]
    found = settle(records, headers, names, word)
    for told, (orientation, on_stored, shape, ends), name in zip(found, kinds, names, strict=True):
        tells = ends and orientation >= 5 and shape != "square"
        truth = "stored" if on_stored else "upright"
        if isinstance(told, InputError):
            assert name in str(told)
            assert word != truth
            assert word != "auto" or not tells
        else:  # a word that a picture cannot contradict is the user's
            assert told.record.stored == (on_stored if tells or word == "auto" else word == "stored")


def test_a_picture_without_anybody_needs_no_view() -> None:
    record, header = picture(np.random.default_rng(0), 6, False, "tall", True)
    empty = dataclasses.replace(record, keypoints=record.keypoints[:0], boxes=record.boxes[:0])
    for word in ("auto", "upright", "stored"):
        (told,) = settle([empty], [header], ["1.jpg"], word)
        assert isinstance(told, Looked)
        assert (told.record.width, told.record.height) == SHAPES["tall"]


def test_pictures_on_the_stored_view_are_named(tmp_path: Path, caplog: Any) -> None:
    write(tmp_path, SHAPES["tall"], [(2, 3)] * 3, 6, True, True)
    assert share_on_people(DataOptions(root=str(tmp_path))) == 1
    assert "3 images with an EXIF orientation" in caplog.text
