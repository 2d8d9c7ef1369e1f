import json
import pickle
import shutil
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest

from supernet.data import DataOptions, load_crowdpose, open_dataset
from supernet.data.annotations.records import Region
from supernet.errors import InputError


def first(doc):
    return doc["annotations"][0]


def edit(root, change, split="train"):
    path = root / "json" / f"crowdpose_{split}.json"
    doc = json.loads(path.read_text())
    change(doc)
    path.write_text(json.dumps(doc))


def test_records_and_ground_truth_are_the_file(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    doc = json.loads((crowdpose_root / "json" / "crowdpose_train.json").read_text())
    truth = dataset.ground_truth()
    assert [r.image_id for r in dataset.records] == [i["id"] for i in doc["images"]]
    assert truth["images"] == doc["images"]
    by_id = {a["id"]: a for a in truth["annotations"]}
    assert by_id == {a["id"]: a for a in doc["annotations"]}
    assert dataset.num_people == len(doc["annotations"])
    assert dataset.skipped == []
    assert truth["categories"][0]["keypoints"] == list(dataset.skeleton.joints)


def test_trainval_joins_both_and_moves_colliding_annotation_ids(crowdpose_root):
    edit(crowdpose_root, lambda d: [a.update(id=1000 + i) for i, a in enumerate(d["annotations"])], "train")
    edit(crowdpose_root, lambda d: [a.update(id=1003 + i) for i, a in enumerate(d["annotations"])], "val")
    both = load_crowdpose(crowdpose_root, "trainval")
    parts = [load_crowdpose(crowdpose_root, split) for split in ("train", "val")]
    assert len(both) == 15
    ids = [a["id"] for a in both.ground_truth()["annotations"]]
    assert len(ids) == len(set(ids)) == parts[0].num_people + parts[1].num_people
    assert [r.image_id for r in both.records] == [r.image_id for p in parts for r in p.records]


def test_an_image_in_both_joined_splits_is_refused(crowdpose_root):
    shutil.copy(crowdpose_root / "json/crowdpose_train.json", crowdpose_root / "json/crowdpose_val.json")
    with pytest.raises(InputError, match=r"crowdpose_val\.json: image 100: is in another"):
        load_crowdpose(crowdpose_root, "trainval")


@pytest.mark.parametrize("prefix", ["", "CrowdPose/"])
def test_a_zip_of_the_folder_equals_the_folder(crowdpose_root, tmp_path_factory, prefix):
    archive = tmp_path_factory.mktemp("zip") / "data.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in crowdpose_root.rglob("*.*"):
            out.write(file, prefix + str(file.relative_to(crowdpose_root)))
    folder, packed = (load_crowdpose(root, "train") for root in (crowdpose_root, archive))
    assert packed.ground_truth() == folder.ground_truth()
    spawned = pickle.loads(pickle.dumps(packed))
    for index in range(len(folder)):
        np.testing.assert_array_equal(packed.read_image(index), folder.read_image(index))
        np.testing.assert_array_equal(spawned.read_image(index), folder.read_image(index))


@pytest.mark.parametrize("prefix", ["images/", ""])
def test_images_zip_inside_the_folder(crowdpose_root, prefix):
    before = load_crowdpose(crowdpose_root, "train").read_image(3)
    with zipfile.ZipFile(crowdpose_root / "images.zip", "w") as out:
        for file in (crowdpose_root / "images").iterdir():
            out.write(file, prefix + file.name)
    shutil.rmtree(crowdpose_root / "images")
    np.testing.assert_array_equal(load_crowdpose(crowdpose_root, "train").read_image(3), before)


def test_explicit_annotation_file(crowdpose_root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("json") / "mine.json"
    shutil.move(crowdpose_root / "json/crowdpose_val.json", elsewhere)
    dataset = open_dataset(DataOptions(root=str(crowdpose_root)), str(elsewhere))
    assert (len(dataset), dataset.name) == (5, "crowdpose-mine")


def test_swapped_width_and_height_are_mended_and_listed(crowdpose_root):
    straight = load_crowdpose(crowdpose_root, "train")

    def swap(doc):
        for image in doc["images"][::2]:
            image["width"], image["height"] = image["height"], image["width"]

    edit(crowdpose_root, swap)
    mended = load_crowdpose(crowdpose_root, "train")
    assert mended.swapped == [r.image_id for r in straight.records[::2]]
    assert mended.ground_truth() == straight.ground_truth()
    unverified = load_crowdpose(crowdpose_root, "train", verify="none")
    assert unverified.swapped == []
    np.testing.assert_array_equal(unverified.read_image(0), straight.read_image(0))


def test_other_sizes_are_an_error_that_names_the_image(crowdpose_root):
    edit(crowdpose_root, lambda doc: doc["images"][4].update(width=55))
    with pytest.raises(InputError, match=r"104\.jpg .*annotation says 55x"):
        load_crowdpose(crowdpose_root, "train")
    with pytest.raises(InputError, match=r"104\.jpg .*annotation says 55x"):
        load_crowdpose(crowdpose_root, "train", verify="none").read_image(4)


def test_exif_rotation_is_ignored(crowdpose_root):
    path = crowdpose_root / "images" / "100.jpg"
    plain = load_crowdpose(crowdpose_root, "train").read_image(0)
    header = b"Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01"
    orientation_6 = header + b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06" + bytes(6)
    data = path.read_bytes()
    segment = b"\xff\xe1" + (len(orientation_6) + 2).to_bytes(2, "big") + orientation_6
    path.write_bytes(data[:2] + segment + data[2:])
    assert cv2.imread(str(path)).shape[:2] == plain.shape[1::-1]
    np.testing.assert_array_equal(load_crowdpose(crowdpose_root, "train").read_image(0), plain)


def test_subset_and_ground_truth_of_some_images(crowdpose_root):
    dataset = load_crowdpose(crowdpose_root, "train")
    part = dataset.subset([7, 2])
    assert part.ground_truth() == dataset.ground_truth([107, 102])
    np.testing.assert_array_equal(part.read_image(0), dataset.read_image(7))
    with pytest.raises(InputError, match="no image 5"):
        dataset.ground_truth([5])


def test_cache_gives_the_same_images(crowdpose_root):
    plain = open_dataset(DataOptions(root=str(crowdpose_root)), "train")
    cached = open_dataset(DataOptions(root=str(crowdpose_root), cache="memory"), "train")
    expected = [plain.read_image(i) for i in range(len(plain))]
    shutil.rmtree(crowdpose_root / "images")
    for index, image in enumerate(expected):
        np.testing.assert_array_equal(cached.read_image(index), image)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: first(d).pop("keypoints"), r"annotation 1000: has no keypoints, unlike the others; \[\]"),
        (lambda d: first(d)["keypoints"].pop(), "annotation 1000: keypoints: 41 values where 14 joints"),
        (lambda d: first(d)["keypoints"].__setitem__(3, "7"), "annotation 1000: keypoints: '7' is not a num"),
        (lambda d: first(d)["keypoints"].__setitem__(3, float("nan")), "annotation 1000: keypoints: a value"),
        (lambda d: first(d)["keypoints"].__setitem__(2, 3), "annotation 1000: keypoints: a visibility"),
        (lambda d: first(d)["keypoints"].__setitem__(slice(0, 3), [9e5, 1, 2]), "far outside"),
        (lambda d: d["annotations"][1].update(id=1000), "annotation 1000: its id occurs twice"),
        (lambda d: first(d).update(image_id=7), "annotation 1000: image_id is 7, which is no image"),
        (lambda d: first(d).update(category_id=9), "annotation 1000: category_id is 9"),
        (lambda d: first(d).update(bbox=[1, 2, -3, 4]), "annotation 1000: bbox"),
        (lambda d: first(d).update(iscrowd="no"), "annotation 1000: iscrowd is 'no'"),
        (lambda d: first(d).update(num_keypoints=99), "annotation 1000: num_keypoints is 99"),
        (lambda d: d["images"][1].update(id=100), "image 100: its id occurs twice"),
        (lambda d: d["images"][1].update(file_name="a/.."), "image 101: file_name"),
        (lambda d: d["images"][1].update(file_name="."), "image 101: file_name"),
        (lambda d: d["images"][1].update(file_name="none.jpg"), "image 101: .*none.jpg does not exist"),
        (
            lambda d: d["images"][1].update(file_name=f"{'n' * 300}.jpg"),
            "image 101: .*nnn.jpg cannot be read",
        ),
        (lambda d: d["images"][1].pop("width"), "image 101: width is None"),
        (lambda d: d["images"].__setitem__(1, 5), "image at position 1: is 5, not an object"),
        (lambda d: d["images"][1].update(crowdIndex="x"), "image 101: crowdIndex: 'x' is not a number"),
    ],
)
def test_bad_records_raise_or_are_skipped_and_listed(crowdpose_root, change, message):
    whole = load_crowdpose(crowdpose_root, "train")
    edit(crowdpose_root, change)
    with pytest.raises(InputError, match=message) as caught:
        load_crowdpose(crowdpose_root, "train")
    assert "\n" not in str(caught.value)
    assert "crowdpose" in str(caught.value)
    dataset = load_crowdpose(crowdpose_root, "train", on_error="skip")
    assert dataset.skipped
    left_out = {r.image_id for r in whole.records} - {r.image_id for r in dataset.records}
    kept = {r.image_id: r for r in dataset.records}
    listed = " ".join(str(s) for s in dataset.skipped)
    for image_id in left_out - {101}:
        assert f"image {image_id}" in listed
    for record in whole.records:
        if record.image_id in kept and "no image" not in message:
            np.testing.assert_array_equal(record.keypoints, kept[record.image_id].keypoints)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("annotations"), "no list 'annotations'"),
        (lambda d: d.update(categories=[]), "one category with keypoints"),
        (lambda d: d["categories"][0]["keypoints"].pop(), "13 joints per person, 14 in skeleton"),
        (lambda d: d.update(images=[], annotations=[]), "holds no usable image"),
    ],
)
def test_broken_documents_raise_under_either_policy(crowdpose_root, change, message):
    edit(crowdpose_root, change)
    for policy in ("raise", "skip"):
        with pytest.raises(InputError, match=message):
            load_crowdpose(crowdpose_root, "train", on_error=policy)


def test_missing_things_are_named(crowdpose_root, tmp_path):
    with pytest.raises(InputError, match=r"data folder .*nowhere does not exist"):
        load_crowdpose(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match=r"json/crowdpose_test\.json does not exist"):
        load_crowdpose(crowdpose_root, "test")
    with pytest.raises(InputError, match=r"mine\.json does not exist"):
        load_crowdpose(crowdpose_root, "mine.json")
    (crowdpose_root / "json/crowdpose_train.json").write_text('{"images": [')
    with pytest.raises(InputError, match=r"crowdpose_train\.json is not valid JSON"):
        load_crowdpose(crowdpose_root, "train")
    (crowdpose_root / "images.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(InputError, match=r"images\.zip is not a readable zip"):
        load_crowdpose(crowdpose_root, "val")


def test_real_val_annotations(shared_crowdpose):
    dataset = load_crowdpose(shared_crowdpose, "val", verify="none")
    assert (len(dataset), dataset.num_people) == (2000, 8527)
    assert sum(int((r.num_keypoints > 0).sum()) for r in dataset.records) == 7074
    index = np.array([r.crowd_index for r in dataset.records])
    counts = ((index < 0.2).sum(), ((index >= 0.2) & (index < 0.8)).sum(), (index >= 0.8).sum())
    assert counts == (411, 1240, 349)
    doc = json.loads((shared_crowdpose / "json/crowdpose_val.json").read_text())
    truth = dataset.ground_truth()
    assert truth["images"] == doc["images"]
    assert {a["id"]: a for a in truth["annotations"]} == {a["id"]: a for a in doc["annotations"]}


def test_real_sample_images(shared_crowdpose):
    dataset = load_crowdpose(shared_crowdpose, "sample")
    assert (len(dataset), dataset.num_people) == (2, 5)
    for index, record in enumerate(dataset.records):
        assert dataset.read_image(index).shape == (record.height, record.width, 3)


def test_a_fingerprint_is_of_what_determines_results_not_of_where_it_lies(crowdpose_root, tmp_path):
    shutil.copytree(crowdpose_root, tmp_path / "copy")
    dataset = load_crowdpose(crowdpose_root, "train")
    layout = dataset.skeleton
    elsewhere = replace(layout, name="other", edges=())
    again = load_crowdpose(tmp_path / "copy", "train", skeleton=elsewhere, verify="none")
    assert again.fingerprint() == dataset.fingerprint()
    one = dataset.records[0]
    region = Region(rle={"size": [4, 4], "counts": b"04"})
    changes = [
        {"file_name": "b.jpg"},
        {"source": "b"},
        {"stored": True},
        {"crowd_index": 0.125},
        {"areas": np.ones_like(one.areas)},
        {"boxes": one.boxes + 1},
        {"num_keypoints": one.num_keypoints + 1},
        {"ignore": (region,)},
        {"ignore": (replace(region, rle={"size": [4, 4], "counts": b"05"}),)},
        {"ignore": (Region.box(0, 0, 4, 4),)},
    ]
    found = {dataset.fingerprint()}
    for change in changes:
        again.records = (replace(one, **change), *dataset.records[1:])
        found.add(again.fingerprint())
    again.records, again.skeleton = dataset.records, replace(layout, sigmas=(0.1, *layout.sigmas[1:]))
    assert len({*found, again.fingerprint()}) == len(changes) + 2
