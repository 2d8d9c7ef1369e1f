import dataclasses
import json

import cv2
import numpy as np
import pytest

from supernet.data import audit, load_coco, load_crowdpose, stream_images
from supernet.data.audit.statistics import crowd_levels
from supernet.data.images import decode as pixels
from supernet.data.images.store import Store
from supernet.errors import InputError


def damage(path):
    """Alter bytes of the compressed pixels until they decode to another picture."""
    whole = path.read_bytes()
    before = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        data = bytearray(whole)
        for place in rng.integers(len(data) * 3 // 4, len(data) - 2, 4):
            data[place] = rng.integers(256)
        image = cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR)
        if image is not None and np.abs(image.astype(int) - before).mean() > 2:
            path.write_bytes(bytes(data))
            return
    raise AssertionError("no such damage found")


def test_counts_and_joint_statistics(crowdpose_root, tmp_path):
    doc = json.loads((crowdpose_root / "json/crowdpose_train.json").read_text())
    people = doc["annotations"]
    report = audit(load_crowdpose(crowdpose_root, "train"), tmp_path / "out")
    counts = report.counts
    assert (counts.images, counts.people) == (10, len(people))
    assert counts.scored == sum(p["num_keypoints"] > 0 for p in people)
    assert counts.unlabelled == sum(not any(p["keypoints"][2::3]) for p in people)
    assert sum(n * images for n, images in counts.people_per_image.items()) == len(people)
    assert counts.crowd_levels["easy"] == sum(i["crowdIndex"] < 0.2 for i in doc["images"])
    assert counts.width[0] == 80
    assert counts.miscounted == []
    assert len(counts.other_crowd_index) > 5, "they were drawn at random"
    for joint, found in enumerate(report.joints):
        flags = [p["keypoints"][3 * joint + 2] for p in people]
        assert (found.visible, found.occluded) == (flags.count(2), flags.count(1))
        assert found.outside == 0
    assert report.ok
    saved = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert saved["schema"] == 1
    assert saved["counts"] == json.loads(json.dumps(dataclasses.asdict(counts)))
    for name in ("crowd_index.png", "joints.png"):
        assert cv2.imread(str(tmp_path / "out" / name)) is not None


def test_every_kind_of_broken_image_is_listed(crowdpose_root, tmp_path):
    images = crowdpose_root / "images"
    (images / "100.jpg").unlink()
    (images / "101.jpg").write_bytes(b"")
    (images / "102.jpg").write_bytes((images / "102.jpg").read_bytes()[:-300])
    damage(images / "103.jpg")
    cv2.imwrite(str(images / "104.jpg"), np.zeros((50, 50, 3), np.uint8))
    doc = json.loads((crowdpose_root / "json/crowdpose_train.json").read_text())
    turned = doc["images"][5]
    turned["width"], turned["height"] = turned["height"], turned["width"]
    doc["images"][6]["height"] = "tall"
    next(a for a in doc["annotations"] if a["image_id"] == 107)["num_keypoints"] = 13
    (crowdpose_root / "json/crowdpose_train.json").write_text(json.dumps(doc))

    dataset = load_crowdpose(crowdpose_root, "train", on_error="skip", verify="none")
    report = audit(dataset, tmp_path / "out")
    assert [s.record for s in report.broken] == [f"image {i}" for i in range(100, 105)]
    reasons = ("does not exist", "not a readable", "truncated", "is damaged: Corrupt JPEG", "50x50")
    assert [words in fault.reason for fault, words in zip(report.broken, reasons, strict=True)] == [True] * 5
    assert report.swapped == [105]
    assert [s.record for s in report.skipped] == ["image 106"]
    assert len(report.counts.miscounted) == 1
    assert not report.ok
    text = report.summary()
    for words in ("5 records broken", "1 records left out", "1 images with width and", "num_keypoints"):
        assert words in text


def test_opening_with_verify_pixels_leaves_damaged_images_out(crowdpose_root):
    damage(crowdpose_root / "images" / "103.jpg")
    assert len(load_crowdpose(crowdpose_root, "train")) == 10, "its header is whole"
    with pytest.raises(InputError, match=r"image 103: .*103\.jpg is damaged: Corrupt JPEG"):
        load_crowdpose(crowdpose_root, "train", verify="pixels")
    dataset = load_crowdpose(crowdpose_root, "train", verify="pixels", on_error="skip")
    assert [s.record for s in dataset.skipped] == ["image 103"]
    assert 103 not in [r.image_id for r in dataset.records]


def test_a_file_that_kills_the_decoder_is_named(crowdpose_root, monkeypatch):
    store = Store(crowdpose_root / "images")
    names = [f"{image_id}.jpg" for image_id in range(100, 106)]
    whole = pixels._child_findings

    def dying(store, names):
        """A child that dies on 102.jpg and 105.jpg."""
        upto = next((i for i, name in enumerate(names) if name in ("102.jpg", "105.jpg")), len(names))
        return list(whole(store, names))[:upto]

    monkeypatch.setattr(pixels, "_child_findings", dying)
    done = []
    crashes = "the decoder crashes on it"
    found = pixels.damaged_images(store, names, progress=done.append)
    assert found == {"102.jpg": crashes, "105.jpg": crashes}
    assert sum(done) == 6


def test_audit_of_annotations_alone(coco_root, tmp_path):
    for file in (coco_root / "val2017").iterdir():
        file.unlink()
    report = audit(load_coco(coco_root, "val", verify="none"), tmp_path / "out", pixels=False)
    assert report.ok
    assert "the images were not looked at" in report.summary()
    assert len(report.joints) == 17


def test_real_val(shared_crowdpose, tmp_path):
    report = audit(load_crowdpose(shared_crowdpose, "val", verify="none"), tmp_path, pixels=False)
    assert (report.counts.images, report.counts.people, report.counts.scored) == (2000, 8527, 7074)
    assert report.counts.crowd_levels == {"easy": 411, "medium": 1240, "hard": 349}
    assert (report.counts.unlabelled, report.counts.crowds) == (499, 106)
    assert max(report.counts.people_per_image) == 14
    assert sum(joint.outside for joint in report.joints) == 9
    assert report.counts.other_crowd_index == []
    assert report.counts.miscounted == []


def test_levels_at_their_bounds():
    assert crowd_levels([0.0, 0.19, 0.2, 0.79, 0.8, 3.0]) == {"easy": 2, "medium": 2, "hard": 2}
    assert crowd_levels([]) == {}


@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_stream_images_is_read_image_in_order(crowdpose_root, ahead):
    dataset = load_crowdpose(crowdpose_root, "train")
    streamed = list(stream_images(dataset, threads=2, ahead=ahead))
    assert [index for index, _ in streamed] == list(range(10))
    for index, image in streamed:
        np.testing.assert_array_equal(image, dataset.read_image(index))


def test_stream_images_with_a_broken_one(crowdpose_root):
    path = crowdpose_root / "images" / "103.jpg"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"103\.jpg .*truncated"):
        list(stream_images(load_crowdpose(crowdpose_root, "train")))
    dataset = load_crowdpose(crowdpose_root, "train", on_error="skip")
    for _ in range(2):
        assert [index for index, _ in stream_images(dataset)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        assert [s.record for s in dataset.skipped] == ["image 103"]
