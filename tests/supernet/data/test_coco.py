import json
import zipfile

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from supernet.data import DataOptions, load_coco, open_dataset
from supernet.data.annotations.records import Region
from supernet.data.targets import ignore_mask
from supernet.errors import InputError

IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def annotations(root):
    return root / "annotations" / "person_keypoints_val2017.json"


def add(root, **fields):
    """Add one unlabelled person to the first image, and give its size."""
    doc = json.loads(annotations(root).read_text())
    image = doc["images"][0]
    person = {"id": 9999, "image_id": image["id"], "category_id": 1, "iscrowd": 0, "keypoints": [0] * 51}
    doc["annotations"].append({**person, "num_keypoints": 0, "bbox": [10, 5, 30, 40], "area": 7.5, **fields})
    annotations(root).write_text(json.dumps(doc))
    return image["width"], image["height"]


def blob(width, height):
    rows, columns = np.mgrid[:height, :width]
    return ((columns - 40) ** 2 / 400 + (rows - 30) ** 2 / 150 < 1).astype(np.uint8)


def uncompressed(mask):
    """COCO's plain run lengths, column by column, beginning with zeros."""
    flat = mask.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat[0] else []) + lengths}


def test_ground_truth_is_the_file(coco_root):
    dataset = load_coco(coco_root, "val")
    doc = json.loads(annotations(coco_root).read_text())
    truth = dataset.ground_truth()
    assert {a["id"]: a for a in truth["annotations"]} == {a["id"]: a for a in doc["annotations"]}
    assert truth["images"] == doc["images"]
    assert (dataset.name, dataset.skeleton.num_joints) == ("coco-val", 17)


def test_cocos_own_zips_are_read_as_they_are(coco_root):
    plain = load_coco(coco_root, "val2017")
    expected = [plain.read_image(i) for i in range(len(plain))]
    with zipfile.ZipFile(coco_root / "annotations_trainval2017.zip", "w") as out:
        out.write(annotations(coco_root), "annotations/person_keypoints_val2017.json")
    with zipfile.ZipFile(coco_root / "val2017.zip", "w") as out:
        for file in (coco_root / "val2017").iterdir():
            out.write(file, f"val2017/{file.name}")
    for folder in ("annotations", "val2017"):
        for file in (coco_root / folder).iterdir():
            file.unlink()
        (coco_root / folder).rmdir()
    zipped = open_dataset(DataOptions(root=str(coco_root), layout="coco", skeleton="coco"), "val2017")
    assert zipped.ground_truth() == plain.ground_truth()
    for index, image in enumerate(expected):
        np.testing.assert_array_equal(zipped.read_image(index), image)


def test_crowd_masks_equal_pycocotools(coco_root):
    width, height = 120, 64
    mask = blob(width, height)
    compressed = coco_mask.encode(np.asfortranarray(mask))
    compressed = {"size": compressed["size"], "counts": compressed["counts"].decode()}
    doc = json.loads(annotations(coco_root).read_text())
    image = next(i for i in doc["images"] if (i["width"], i["height"]) == (width, height))
    for segmentation in (compressed, uncompressed(mask)):
        add(coco_root, image_id=image["id"], iscrowd=1, segmentation=segmentation)
        record = next(r for r in load_coco(coco_root, "val").records if r.image_id == image["id"])
        expected = COCO(str(annotations(coco_root))).annToMask(
            next(a for a in json.loads(annotations(coco_root).read_text())["annotations"] if a["id"] == 9999)
        )
        found = ignore_mask(record.ignore, IDENTITY, 120)
        np.testing.assert_array_equal(found[:height], 1 - expected)
        assert found[height:].all(), "outside of the image the loss counts"
        assert record.crowd.tolist()[-1] is True
        annotations(coco_root).write_text(json.dumps(doc))


def test_polygon_masks_of_unlabelled_people(coco_root):
    polygons = [[10.5, 5, 40, 8.2, 30, 44.9, 12, 40], [50, 50, 60, 50, 60, 60]]
    width, height = add(coco_root, segmentation=polygons)
    record = load_coco(coco_root, "val").records[0]
    assert len(record.ignore) == 1
    found = 1 - ignore_mask(record.ignore, IDENTITY, 128)[:height, :width]
    exact = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    # Both rasterise polygons, but may differ on pixels that the outline crosses.
    assert (found != exact).sum() < 0.12 * exact.sum()
    eroded = exact[1:-1, 1:-1] & exact[:-2, 1:-1] & exact[2:, 1:-1] & exact[1:-1, :-2] & exact[1:-1, 2:]
    assert (found[1:-1, 1:-1] >= eroded).all()


def test_labelled_people_are_no_regions(coco_root):
    records = load_coco(coco_root, "val").records
    assert all(not record.ignore for record in records)
    add(coco_root)
    box = load_coco(coco_root, "val").records[0].ignore[0].polygons[0]
    assert box.tolist() == [[10, 5], [40, 5], [40, 45], [10, 45]]


def test_masks_follow_the_warp():
    matrix = np.array([[0.0, -0.5, 60.0], [0.5, 0.0, 3.0]])  # a quarter turn at half scale
    mask = np.zeros((64, 120), np.uint8)
    mask[20:40, 30:80] = 1
    compressed = coco_mask.encode(np.asfortranarray(mask))
    rle = ignore_mask([Region(rle=compressed)], matrix, 64)
    box = ignore_mask([Region.box(30, 20, 50, 20)], matrix, 64)
    expected = np.ones((64, 64))
    expected[15 + 3 : 40 + 3, 60 - 20 : 60 - 10] = 0
    np.testing.assert_array_equal(rle, expected)
    assert (box <= expected).all()
    assert (expected - box).sum() <= 2 * (25 + 10) + 4, "at most the outline more"


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3]],
        [[1, 2, 3, 4, 5, "6"]],
        [[1, 2, 3, 4, 5, float("nan")]],
        "no",
        {"size": [5, 5], "counts": [25]},
        {"size": [80, 96], "counts": [5, 5]},
        {"size": [80, 96], "counts": [-5, 5]},
        {"size": [80, 96], "counts": "x" * 30},
        {"size": [80, 96], "counts": "\x7f\x00"},
        {"size": [80, 96], "counts": None},
    ],
)
def test_malformed_segmentations_are_named(coco_root, segmentation):
    doc = json.loads(annotations(coco_root).read_text())
    image = next(i for i in doc["images"] if i["width"] == 96)
    add(coco_root, image_id=image["id"], segmentation=segmentation)
    with pytest.raises(InputError, match="annotation 9999: segmentation"):
        load_coco(coco_root, "val")
    skipping = load_coco(coco_root, "val", on_error="skip")
    assert [s.record for s in skipping.skipped] == ["annotation 9999", f"image {image['id']}"]


def test_other_categories_are_not_people(coco_root):
    doc = json.loads(annotations(coco_root).read_text())
    doc["categories"].append({"id": 17, "name": "cat"})
    cat = {"id": 5, "image_id": doc["images"][0]["id"], "category_id": 17, "bbox": [1, 1, 5, 5]}
    doc["annotations"].append(cat)
    annotations(coco_root).write_text(json.dumps(doc))
    assert load_coco(coco_root, "val").num_people == len(doc["annotations"]) - 1


def test_missing_split_is_named(coco_root):
    with pytest.raises(InputError, match=r"person_keypoints_train2017\.json does not exist"):
        load_coco(coco_root, "train")
