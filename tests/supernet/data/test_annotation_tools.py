"""Files of annotation tools, and YOLO folders: read rightly, or refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import HEIGHT, WIDTH, document, opened, person, write

from supernet.data import Loader, LoaderOptions, load_coco
from supernet.errors import InputError
from supernet.pose import Skeleton
from supernet.runs.files import read_json


def no_boxes(found: dict[str, Any]) -> None:
    for entry in found["annotations"]:
        del entry["bbox"]


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
    "backslashes (Label Studio)": lambda d: [
        i.update(file_name=f"images\\{i['id']}.png") for i in d["images"]
    ],
    "images/ in front": lambda d: [i.update(file_name=f"images/{i['id']}.png") for i in d["images"]],
    "./ in front": lambda d: [i.update(file_name=f"./{i['id']}.png") for i in d["images"]],
    "relative to the JSON": lambda d: [i.update(file_name=f"../images/{i['id']}.png") for i in d["images"]],
    "a path of another computer": lambda d: [
        i.update(file_name=f"C:\\a\\{i['id']}.png") for i in d["images"]
    ],
    "an absolute path": lambda d: [i.update(file_name=f"/home/me/{i['id']}.png") for i in d["images"]],
    "a folder of the project": lambda d: [i.update(file_name=f"upload/7/{i['id']}.png") for i in d["images"]],
    "no boxes": no_boxes,
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


def test_one_of_several_categories_with_keypoints_is_chosen(tmp_path: Path) -> None:
    found = document()
    found["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose", "tail"]})
    found["annotations"].append({"id": 99, "image_id": 1, "category_id": 2, "keypoints": [1, 1, 2, 5, 5, 2]})
    write(tmp_path, found)
    for wanted in (None, "cat"):
        with pytest.raises(InputError, match=r"data.category=.*|person, dog"):
            opened(tmp_path, category=wanted)
    assert opened(tmp_path, category="person").num_people == 3


@pytest.mark.parametrize("file", ["train/_annotations.coco.json", "train.json", "annotations/train.json"])
def test_where_tools_put_their_files(tmp_path: Path, file: str) -> None:
    write(tmp_path, document(), "train", file)
    assert len(load_coco(tmp_path, "train", skeleton="crowdpose")) == 3
    beside = tmp_path / "beside"
    write(beside, document(), "batch_7", "batch_7/export.json")
    assert len(load_coco(tmp_path, str(beside / "batch_7/export.json"), skeleton="crowdpose")) == 3


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("where", ["images/train", "../images/train", "train.txt"])
def test_yolo_folders(tmp_path: Path, size: int, where: str) -> None:
    write(tmp_path, document(), "images/train")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    joints = np.reshape(person(1, 1)["keypoints"], (-1, 3)) / (WIDTH, HEIGHT, 1)
    values = [0, 33 / WIDTH, 29.5 / HEIGHT, 26 / WIDTH, 39 / HEIGHT, *joints[:, :size].ravel().tolist()]
    (tmp_path / "labels/train/2.txt").write_text(" ".join(map(str, values)) + "\n")
    (tmp_path / "labels/train/3.txt").write_text("")
    about = {"train": where, "kpt_shape": [14, size], "names": {0: "person"}}
    (tmp_path / "data.yaml").write_text(json.dumps({**about, "names": ["person"]}))
    (tmp_path / "train.txt").write_text("".join(f"./images/train/{i}.png\n" for i in (1, 2, 3)))
    dataset = opened(tmp_path, layout="yolo")
    assert [record.num_people for record in dataset.records] == [0, 1, 0]
    np.testing.assert_allclose(dataset.records[1].keypoints[0].ravel(), person(1, 1)["keypoints"])
    np.testing.assert_allclose(dataset.records[1].boxes[0], [20, 10, 26, 39])
    for wrong in (
        "0 0.5 x",
        " ".join(map(str, ["nan", *values[1:]])),
        " ".join(map(str, [0.7, *values[1:]])),
    ):
        (tmp_path / "labels/train/2.txt").write_text(wrong + "\n")
        with pytest.raises(InputError, match=r"2\.txt: line 1"):
            opened(tmp_path, layout="yolo")
    (tmp_path / "data.yaml").write_text(json.dumps({**about, "names": {"a": "person"}}))
    with pytest.raises(InputError, match=r"data\.yaml: names has \['a'\]"):
        opened(tmp_path, layout="yolo")


def test_yolo_joints_are_put_in_order_by_their_names(tmp_path: Path) -> None:
    write(tmp_path, document(), "images/train")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    joints = np.reshape(person(1, 1)["keypoints"], (-1, 3)) / (WIDTH, HEIGHT, 1)
    box = [0, 33 / WIDTH, 29.5 / HEIGHT, 26 / WIDTH, 39 / HEIGHT]
    turned = [*box, *joints[::-1].ravel().tolist()]
    (tmp_path / "labels/train/2.txt").write_text(" ".join(map(str, turned)) + "\n")
    names = list(Skeleton.load("crowdpose").joints)[::-1]
    about = {"train": "images/train", "kpt_shape": [14, 3], "names": ["person"], "kpt_names": {0: names}}
    (tmp_path / "data.yaml").write_text(json.dumps(about).replace('"0"', "0"))
    dataset = opened(tmp_path, layout="yolo")
    np.testing.assert_allclose(dataset.records[1].keypoints[0].ravel(), person(1, 1)["keypoints"])


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
