"""EXIF orientation: labels end on the people, or the data set is refused; never silently beside them."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supernet.data import DataOptions, open_dataset
from supernet.data.images.decode import decode_rgb, exif_orientation, image_header, upright
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
