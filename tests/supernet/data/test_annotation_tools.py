"""Files of annotation tools, and YOLO folders: read rightly, or refused with what to do."""

from __future__ import annotations

import json
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import HEIGHT, WIDTH, document, opened, person, write
from PIL import Image

from supernet.data import Loader, LoaderOptions, audit, load_coco, load_crowdpose
from supernet.errors import InputError
from supernet.pose import Skeleton
from supernet.runs.files import read_json


def no_boxes(found: dict[str, Any]) -> None:
    for entry in found["annotations"]:
        del entry["bbox"]


def named(form: str) -> Callable[[dict[str, Any]], None]:
    """Calls every picture as a tool does, its number in `form`."""

    def rename(found: dict[str, Any]) -> None:
        for image in found["images"]:
            image["file_name"] = form.format(image["id"])

    return rename


TOOLS: dict[str, Any] = {
    "empty list of keypoints (CVAT)": lambda d: d["annotations"].append(
        person(99, 1, keypoints=[], num_keypoints=0)
    ),
    "empty list without a box": lambda d: d["annotations"].append(
        person(99, 1, keypoints=[], num_keypoints=0, bbox=[0, 0, 0, 0])
    ),
    "a category without keypoints (CVAT)": lambda d: d["categories"].append(
        {"id": 2, "name": "ball", "keypoints": []}
    ),
    "a category above it (Roboflow)": lambda d: d["categories"].insert(0, {"id": 0, "name": "pose"}),
    "backslashes (Label Studio)": named("images\\{}.png"),
    "images/ in front": named("images/{}.png"),
    "./ in front": named("./{}.png"),
    "relative to the JSON": named("../images/{}.png"),
    "relative to another folder": named("../../a/images/{}.png"),
    "a path of another computer": named("C:\\a\\{}.png"),
    "an absolute path": named("/home/me/{}.png"),
    "a folder of the project": named("upload/7/{}.png"),
    "no boxes": no_boxes,
    "addresses": named("https://a.b/c/{}.png?token=x.y"),
    "Label Studio's local files": named("/data/local-files/?d=c/{}.png"),
    "local files without a folder": named("/data/local-files/?d={}.png"),
    "percent signs": named("%3{}.png"),
    "capitals": named("{}.PNG"),
    "sizes as 96.0, ids as 1.0 (pandas)": lambda d: [
        entry.update({key: float(entry[key]) for key in ("id", "width", "image_id") if key in entry})
        for entry in d["images"] + d["annotations"]
    ],
    "nulls": lambda d: [
        entry.update(dict.fromkeys(("area", "segmentation", "iscrowd", "num_keypoints", "crowdIndex")))
        for entry in d["images"] + d["annotations"]
    ],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_files_of_annotation_tools(tmp_path: Path, tool: str) -> None:
    found = document()
    TOOLS[tool](found)
    write(tmp_path, found)
    dataset = opened(tmp_path)
    assert len(dataset) == 3
    assert dataset.read_image(2).shape == (HEIGHT, WIDTH, 3)
    assert dataset.records[0].boxes[0].tolist() == [20, 10, 26, 39]
    assert dataset.num_scored() == 3
    assert len(dataset.records[0].ignore) == ("empty list" in tool)


def test_joints_that_are_null_are_not_labelled(tmp_path: Path) -> None:
    found = document()
    joints = found["annotations"][0]["keypoints"]
    joints[3:9] = [None, None, 0, None, None, None]
    write(tmp_path, found)
    assert opened(tmp_path).records[0].keypoints[0, 1:3].tolist() == [[0, 0, 0], [0, 0, 0]]
    joints[5] = 2
    (tmp_path / "json/crowdpose_train.json").write_text(json.dumps(found))
    with pytest.raises(InputError, match="annotation 10: keypoints: None is not a number"):
        opened(tmp_path)


def test_the_picture_that_is_named_is_read_whatever_else_is_called_so(tmp_path: Path, caplog: Any) -> None:
    named = {
        "set/batch/1.png": ("../batch/1.png", "{set}/batch/1.png", "/other/set/batch/1.png", "batch/1.PNG"),
        "else/1.png": ("../../else/1.png", "{root}/else/1.png"),
        "set/images/1.png": ("../gone/1.png", "/gone/1.png", "C:\\gone\\1.png", "gone/1.png", "1.png"),
    }
    root = tmp_path / "set"
    for place, file in enumerate(named):
        write(tmp_path, document(images=1), str(Path(file).parent), "unused.json")
        pixels = np.full((HEIGHT, WIDTH, 3), 50 * place, np.uint8)
        Image.fromarray(pixels).save(tmp_path / file)
    for place, told in enumerate(named.values()):
        for name in told:
            found = document(images=1)
            found["images"][0]["file_name"] = name.format(set=root, root=tmp_path)
            (root / "json").mkdir(exist_ok=True)
            (root / "json/crowdpose_train.json").write_text(json.dumps(found))
            caplog.clear()
            assert opened(root).read_image(0).max() == 50 * place, name
            assert (f"1 images are not where their file_name says, such as {found['images'][0]['file_name']}"
                    .replace("\\", "/") in caplog.text) == ("gone" in name), name  # fmt: skip
            caplog.clear()
            unseen = opened(root, verify="none")
            assert not caplog.text, "nothing is looked at yet"
            unseen.read_image(0), unseen.read_image(0)
            assert caplog.text.count("is taken, and so for others") == ("gone" in name), name


def test_pictures_of_one_last_name_in_two_folders_are_two(tmp_path: Path) -> None:
    found = document(images=2)
    for entry, folder in zip(found["images"], ("train", "val"), strict=True):
        write(tmp_path, document(images=1), folder)
        entry["file_name"] = f"../{folder}/1.png"
    write(tmp_path, found, "elsewhere", "annotations/person_keypoints_train.json")
    dataset = load_coco(tmp_path, "train", skeleton="crowdpose")
    assert [dataset.file_name(index) for index in range(2)] == ["train/1.png", "val/1.png"]


@pytest.mark.parametrize("names", [("images/1.png", "1.png"), ("/images/1.png", "1.png"), ("1.png", "1.png")])
def test_two_entries_that_name_one_picture_are_named(tmp_path: Path, names: tuple[str, str]) -> None:
    found = document()
    for entry, name in zip(found["images"], names, strict=False):
        entry["file_name"] = name
    write(tmp_path, found)
    with pytest.raises(InputError, match=r"1\.png is the picture of images 1, 2 alike"):
        opened(tmp_path)
    assert [record.image_id for record in opened(tmp_path, on_error="skip").records] == [3]
    report = audit(opened(tmp_path, verify="none"), tmp_path / "audit")
    assert [fault.record for fault in report.broken] == ["image 1", "image 2"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_with_accents_in_either_form(tmp_path: Path, forms: tuple[str, str]) -> None:
    found = document(images=1)
    write(tmp_path, found)
    (tmp_path / "images/1.png").rename(tmp_path / "images" / unicodedata.normalize(forms[0], "ärger.png"))
    found["images"][0]["file_name"] = unicodedata.normalize(forms[1], "ärger.png")
    (tmp_path / "json/crowdpose_train.json").write_text(json.dumps(found))
    for root in (tmp_path, shutil.make_archive(str(tmp_path / "zip/all"), "zip", tmp_path)):
        assert opened(Path(root)).read_image(0).shape == (HEIGHT, WIDTH, 3)
    (tmp_path / "images/ÄRGER.png").write_bytes(b"")
    with pytest.raises(InputError, match="does not exist"):  # two are alike
        opened(tmp_path)


CATEGORIES: dict[str, tuple[list[dict[str, Any]], str | None]] = {
    "a category of its own": ([{"name": joint} for joint in Skeleton.load("crowdpose").joints], None),
    "2 have them.*of: person, dog": ([{"name": n, "keypoints": ["a"]} for n in ("person", "dog")], None),
    "none have them.*of: cat, dog": ([{"name": "cat"}, {"name": "dog"}], None),
    "none is called 'man'.*of: person": ([{"name": "person"}], "man"),
}


@pytest.mark.parametrize("told", CATEGORIES)
def test_categories_that_tell_no_people_are_listed(tmp_path: Path, told: str) -> None:
    found = document()
    found["categories"] = [{"id": i, **entry} for i, entry in enumerate(CATEGORIES[told][0])]
    write(tmp_path, found)
    with pytest.raises(InputError, match=told):
        opened(tmp_path, category=CATEGORIES[told][1])


def test_one_of_several_categories_with_keypoints_is_chosen(tmp_path: Path) -> None:
    found = document()
    found["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose", "tail"]})
    found["annotations"].append({"id": 99, "image_id": 1, "category_id": 2, "keypoints": [1, 1, 2, 5, 5, 2]})
    write(tmp_path, found)
    for wanted in (None, "cat"):
        with pytest.raises(InputError, match=r"data.category=.*|person, dog"):
            opened(tmp_path, category=wanted)
    assert opened(tmp_path, category="person").num_people == 3


@pytest.mark.parametrize("layout", ["yolo", "crowdpose"])
def test_joints_of_categories_that_do_not_count_are_told(tmp_path: Path, caplog: Any, layout: str) -> None:
    found = document()
    found["categories"].append({"id": 0, "name": "dog"})
    found["annotations"][1]["category_id"] = 0
    label = yolo(tmp_path, names={"0": "dog", "1": "person"})
    person_too = label.read_text() + "1" + label.read_text()[1:]
    for several in (True, False):
        write(tmp_path, found)
        label.write_text(person_too if several else person_too.splitlines()[0])
        if several:
            assert opened(tmp_path, layout=layout).num_people == (1 if layout == "yolo" else 2)
            assert "1 annotations of dog have keypoints and are left out; data.category" in caplog.text
            caplog.clear()
        else:
            with pytest.raises(
                InputError, match=r"annotations with keypoints are of dog; data\.category=\.\.\."
            ):
                opened(tmp_path, layout=layout)
        opened(tmp_path, layout=layout, category="person")
        assert "left out; data.category" not in caplog.text
        found["annotations"] = found["annotations"][1:2]


@pytest.mark.parametrize("file", ["train/_annotations.coco.json", "train.json", "annotations/train.json"])
def test_where_tools_put_their_files(tmp_path: Path, file: str) -> None:
    write(tmp_path, document(), "train", file)
    assert len(load_coco(tmp_path, "train", skeleton="crowdpose")) == 3
    beside = tmp_path / "beside"
    write(beside, document(), "batch_7", "batch_7/export.json")
    assert len(load_coco(tmp_path, str(beside / "batch_7/export.json"), skeleton="crowdpose")) == 3


JOINTS = np.reshape(person(1, 1)["keypoints"], (-1, 3)) / (WIDTH, HEIGHT, 1)
BOX = [0, 33 / WIDTH, 29.5 / HEIGHT, 26 / WIDTH, 39 / HEIGHT]


def yolo(root: Path, joints: Any = JOINTS, **about: Any) -> Path:
    """Three pictures in a YOLO folder, with somebody in the second; its label file."""
    write(root, document(), "images/train")
    (root / "labels" / "train").mkdir(parents=True)
    label = root / "labels/train/2.txt"
    label.write_text(" ".join(map(str, [*BOX, *np.ravel(joints).tolist()])) + "\n")
    (root / "labels/train/3.txt").write_text("")
    known = {"train": "images/train", "kpt_shape": [*np.shape(joints)], "names": ["person"], **about}
    (root / "data.yaml").write_text(json.dumps(known))
    return label


@pytest.mark.parametrize(
    "where",
    [
        "images/train",
        "../images/train",
        "/content/data/mine/images/train",
        "D:\\mine\\images\\train",
        ["images/train"],
        "train.txt",
        "/home/me/train.txt",
    ],
)
@pytest.mark.parametrize("size", [2, 3])
def test_yolo_folders(tmp_path: Path, size: int, where: str | list[str]) -> None:
    yolo(tmp_path, JOINTS[:, :size], train=where, path="../datasets/mine")
    lines = ("./images/train/1.png", "/home/me/mine/images/train/2.png", "images/train/3.png")
    (tmp_path / "train.txt").write_text("\n".join(lines))
    dataset = opened(tmp_path, layout="yolo")
    assert [record.num_people for record in dataset.records] == [0, 1, 0]
    np.testing.assert_allclose(dataset.records[1].keypoints[0].ravel(), person(1, 1)["keypoints"])
    np.testing.assert_allclose(dataset.records[1].boxes[0], [20, 10, 26, 39])


YOLO_FAULTS: dict[str, dict[str, Any]] = {
    "names has ['a']": {"names": {"a": "person"}},
    "no names": {"names": None},
    "kpt_shape is None": {"kpt_shape": None},
    "kpt_shape is [14]": {"kpt_shape": [14]},
    "kpt_shape is [0, 3]": {"kpt_shape": [0, 3]},
    "kpt_shape is [14, 3.0]": {"kpt_shape": [14, 3.0]},
    "17 joints per person, 14": {"kpt_shape": [17, 3]},
    "kpt_names of class 0": {"kpt_names": {"0": ["nose"]}},
    "names no images for split 'train' (train: None)": {"train": None},
    "no images in images/elsewhere": {"train": "images/elsewhere"},
    "2.txt: line 1: keypoints: '42 values, kpt_shape [14, 2]'": {"kpt_shape": [14, 2]},
    "flip_idx": {"flip_idx": [*range(14)]},
    "flip_idx is [1, 0]": {"flip_idx": [1, 0]},
}


@pytest.mark.parametrize("told", YOLO_FAULTS)
def test_a_data_yaml_that_contradicts_itself_is_refused(tmp_path: Path, told: str) -> None:
    yolo(tmp_path)
    known = json.loads((tmp_path / "data.yaml").read_text()) | YOLO_FAULTS[told]
    (tmp_path / "data.yaml").write_text(json.dumps(known).replace('"0"', "0"))
    with pytest.raises(InputError, match=re.escape(told)):
        opened(tmp_path, layout="yolo")


def test_yolo_paths_that_are_told_apart_are_not_one_place(tmp_path: Path) -> None:
    yolo(tmp_path, train="../train/images", val="../valid/images")
    for said in ("train/images and valid/images apart.*only images is", "cam1/1.png and cam2/1.png apart"):
        with pytest.raises(InputError, match=said):
            opened(tmp_path, layout="yolo")
        shutil.copy(tmp_path / "images/train/1.png", tmp_path / "1.png")
        (tmp_path / "train.txt").write_text("cam1/1.png\ncam2/1.png\n")
        known = json.loads((tmp_path / "data.yaml").read_text()) | {"train": "train.txt"}
        (tmp_path / "data.yaml").write_text(json.dumps(known))


def test_yolo_pictures_outside_of_the_folder_are_not_taken(tmp_path: Path) -> None:
    yolo(tmp_path / "set", train=str(tmp_path / "other"))
    write(tmp_path, document(), "other")
    with pytest.raises(InputError, match=r"has no images in .*other"):
        opened(tmp_path / "set", layout="yolo")


@pytest.mark.parametrize("line", ["0 0.5 x", "nan", "0.7", "x", "1", "0 0.5 0.5 0.1 0.1"])
def test_a_wrong_line_of_a_label_file_is_named_or_left_out(tmp_path: Path, line: str) -> None:
    label = yolo(tmp_path)
    label.write_text(label.read_text() + "\n" + line + label.read_text()[1:] * (" " not in line) + "\n")
    with pytest.raises(InputError, match=r"labels/train/2\.txt: line 3"):
        opened(tmp_path, layout="yolo")
    assert [r.file_name for r in opened(tmp_path, layout="yolo", on_error="skip").records] == [
        "images/train/1.png",
        "images/train/3.png",
    ]


def test_yolo_labels_that_are_nowhere_and_pictures_that_are_none(tmp_path: Path) -> None:
    label = yolo(tmp_path)
    (tmp_path / "images/train/1.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"1\.png"):
        opened(tmp_path, layout="yolo")
    assert len(opened(tmp_path, layout="yolo", on_error="skip")) == 2
    label.parent.rename(tmp_path / "texts")
    with pytest.raises(
        InputError, match=r"none of the 3 images has a label file such as .*labels/train/1\.txt"
    ):
        opened(tmp_path, layout="yolo")


def test_yolo_joints_are_put_in_order_by_their_names(tmp_path: Path) -> None:
    names = list(Skeleton.load("crowdpose").joints)[::-1]
    flip = [0, 1, *(joint + 1 - 2 * (joint % 2) for joint in range(2, 14))]
    yolo(tmp_path, JOINTS[::-1], kpt_names=names, flip_idx=flip)
    (tmp_path / "images/train/._1.png").write_bytes(b"Mac OS X")
    dataset = opened(tmp_path, layout="yolo")
    assert len(dataset) == 3
    np.testing.assert_allclose(dataset.records[1].keypoints[0].ravel(), person(1, 1)["keypoints"])


def test_an_audit_writes_clean_coco_of_any_tools_files(tmp_path: Path) -> None:
    names = list(Skeleton.load("crowdpose").joints)[::-1]
    yolo(tmp_path, JOINTS[::-1], kpt_names=names)
    (tmp_path / "images/train/3.png").write_bytes(b"none")
    first = opened(tmp_path, layout="yolo", on_error="skip", verify="none")
    report = audit(first, tmp_path / "audit", coco=True)
    assert [fault.record for fault in report.broken] == ["image 3"]
    again = load_crowdpose(tmp_path, str(tmp_path / "audit/annotations.json"))
    assert [record.file_name for record in again.records] == ["images/train/1.png", "images/train/2.png"]
    assert again.fingerprint() == first.subset([0, 1]).fingerprint()
    assert read_json(tmp_path / "audit/annotations.json")["categories"][0]["keypoints"] == names[::-1]


@pytest.mark.parametrize("view", ["upright", "stored"])
def test_yolo_shares_are_of_the_view_that_is_given(tmp_path: Path, view: str) -> None:
    yolo(tmp_path)
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "images/train/2.png", exif=tags)
    with pytest.raises(InputError, match=r"2\.png has EXIF orientation 6.*data\.exif="):
        opened(tmp_path, layout="yolo")
    record = opened(tmp_path, layout="yolo", exif=view).records[1]
    size = (WIDTH, HEIGHT) if view == "stored" else (HEIGHT, WIDTH)
    assert (record.width, record.height) == size
    np.testing.assert_allclose(record.keypoints[0, :, :2], JOINTS[:, :2] * size)


@pytest.mark.parametrize("keep", [True, False])
def test_pictures_without_people_are_kept_by_a_setting_and_counted(
    tmp_path: Path, keep: bool, caplog: Any
) -> None:
    found = document()
    del found["annotations"][1:]
    write(tmp_path, found)
    with Loader(opened(tmp_path), LoaderOptions(batch_size=1, keep_empty=keep), [64]) as loader:
        assert loader.steps_per_epoch == (3 if keep else 1)
    assert "2 of 3 images label nobody" in caplog.text


@pytest.mark.parametrize("text", ["mädchen", "ça"])
def test_json_in_latin_1(tmp_path: Path, text: str) -> None:
    found = document()
    write(tmp_path, found)
    (tmp_path / "images/1.png").rename(tmp_path / f"images/{text}.png")
    found["images"][0]["file_name"] = f"{text}.png"
    file = tmp_path / "json/crowdpose_train.json"
    for coding in ("latin-1", "utf-8", "utf-8-sig", "utf-16"):
        file.write_bytes(json.dumps(found, ensure_ascii=False).encode(coding))
        assert opened(tmp_path).records[0].file_name == f"{text}.png"
        assert read_json(file) == found
