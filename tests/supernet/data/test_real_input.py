"""Files as people have them: read rightly, or refused with what to do; each kind with its siblings."""

from __future__ import annotations

import gzip
import json
import logging
import os
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from subnets.portable.frames import open_frames
from supernet.data import AugmentOptions, DataOptions, Loader, LoaderOptions, audit, load_coco, open_dataset
from supernet.data.dataset import PoseDataset
from supernet.data.images.decode import decode_rgb
from supernet.errors import InputError
from supernet.pose import Skeleton, score
from supernet.pose.inference import run_passes
from supernet.runs.files import read_json, read_yaml
from supernet.runs.reading import check_tensors, read_bytes

CROWDPOSE = Skeleton.load("crowdpose")
WIDTH, HEIGHT = 96, 80


def person(
    number: int, image: int, names: tuple[str, ...] = CROWDPOSE.joints, **changes: Any
) -> dict[str, Any]:
    """Joint j of CrowdPose at (20 + 2 j, 10 + 3 j), in the order of `names`."""
    places = {joint: [20 + 2 * j, 10 + 3 * j, 2] for j, joint in enumerate(CROWDPOSE.joints)}
    keypoints = [value for name in names for value in places[name]]
    box = [20.0, 10.0, 26.0, 39.0]
    base = {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, "num_keypoints": 12}
    return {**base, "keypoints": keypoints, "bbox": box, **changes}


def document(names: tuple[str, ...] | list[str] | None = CROWDPOSE.joints, images: int = 3) -> dict[str, Any]:
    category: dict[str, Any] = {
        "id": 1,
        "name": "person",
        **({} if names is None else {"keypoints": list(names)}),
    }
    listed = [
        {"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in range(1, images + 1)
    ]
    return {
        "images": listed,
        "annotations": [person(10 * i, i) for i in range(1, images + 1)],
        "categories": [category],
    }


def write(
    root: Path, found: dict[str, Any], folder: str = "images", file: str = "json/crowdpose_train.json"
) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(1, 1 + len(found["images"])):
        pixels = rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        cv2.imwrite(str(root / folder / f"{number}.png"), pixels)
    (root / file).write_text(json.dumps(found))


def opened(root: Path, **settings: Any) -> PoseDataset:
    return open_dataset(DataOptions(root=str(root), **settings), "train")


REVERSED = tuple(reversed(CROWDPOSE.joints))


@pytest.mark.parametrize("spelt", [str, str.upper, lambda name: name.replace("_", " ").title()])
def test_joints_in_another_order_are_put_in_order(tmp_path: Path, spelt: Any, caplog: Any) -> None:
    found = document([spelt(name) for name in REVERSED])
    found["annotations"] = [person(10, 1, REVERSED)]
    write(tmp_path, found)
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path)
    assert dataset.records[0].keypoints[0].ravel().tolist() == person(1, 1)["keypoints"]
    assert "another order" in caplog.text


@pytest.mark.parametrize("first", ["head_top", "pelvis", "left elbow"])
def test_other_joints_are_refused_with_both_lists(tmp_path: Path, first: str) -> None:
    write(tmp_path, document([first, *CROWDPOSE.joints[1:]]))
    with pytest.raises(InputError) as caught:
        opened(tmp_path)
    assert first in str(caught.value)
    assert "left_shoulder" in str(caught.value)


@pytest.mark.parametrize("names", [None, [], [str(i) for i in range(14)]])
def test_joints_without_names_are_taken_as_they_come(tmp_path: Path, names: Any) -> None:
    write(tmp_path, document(names))
    assert len(opened(tmp_path)) == 3


@pytest.mark.parametrize(
    ("joints", "flip"),
    [
        (["Left Hip", "Right Hip", "Head"], (1, 0, 2)),
        (["HIP_LEFT", "HIP_RIGHT", "upright"], None),
        (["leftHip", "rightHip", "leftKnee", "rightKnee"], (1, 0, 3, 2)),
        (["lefthip", "righthip", "nose"], (1, 0, 2)),
        (["hipleft", "nose", "hipright"], (2, 1, 0)),
        (["l_hip", "r_hip", "root"], (1, 0, 2)),
        (["HipL", "HipR", "Neck"], (1, 0, 2)),
        (["lhip", "rhip", "lknee", "rknee", "root"], (1, 0, 3, 2, 4)),
        (["left", "right"], (1, 0)),
        (["tail"], (0,)),
        (["left_hip", "left_knee", "right_hip"], None),
        (["p1", "p2", "p3"], None),
    ],
)
def test_mirror_pairs_by_name(joints: list[str], flip: tuple[int, ...] | None) -> None:
    skeleton = Skeleton.from_dict({"joints": joints, "sigmas": [0.1] * len(joints)})
    assert skeleton.mirrors == (flip is not None)
    assert flip is None or skeleton.flip == flip
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton
    for joint, other in enumerate(skeleton.flip):  # drawing goes by the same rule
        assert (skeleton.side(joint) == "middle") == (other == joint)


def test_what_cannot_be_mirrored_is_not(tmp_path: Path, caplog: Any) -> None:
    joints = [f"p{i}" for i in range(14)]
    skeleton = Skeleton.from_dict({"joints": joints, "sigmas": [0.1] * 14})
    write(tmp_path, document(None), "train", "annotations/train.json")
    (tmp_path / "own.yaml").write_text(json.dumps({"joints": joints, "sigmas": [0.1] * 14}))
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path, layout="coco", skeleton=str(tmp_path / "own.yaml"))
    assert dataset.skeleton.joints == skeleton.joints
    assert "not mirrored" in caplog.text
    always = AugmentOptions(rotation=0, scale=(1, 1), translation=0, flip=1.0)
    options = LoaderOptions(batch_size=3)
    turned = Loader(dataset, options, [64], augment=always)
    plain = Loader(dataset, options, [64], augment=AugmentOptions.none())
    assert (turned.batch(0).images == plain.batch(0).images).all()


NONSENSE = {
    "size 0": {"bbox": [0, 0, 0, 0], "area": 0},
    "fractions": {"keypoints": [0.3, 0.4, 2] * 14, "bbox": [0.2, 0.2, 0.4, 0.4]},
    "outside of their picture": {"keypoints": [120.0, 20.0, 2] * 14, "bbox": [110.0, 10.0, 20.0, 20.0]},
    "outside of their person's box": {"bbox": [60.0, 60.0, 10.0, 10.0]},
}


@pytest.mark.parametrize("told", NONSENSE)
@pytest.mark.parametrize("people", [1, 3])
def test_nonsense_geometry_is_named(tmp_path: Path, told: str, people: int, caplog: Any) -> None:
    found = document()
    found["annotations"][:people] = [person(10 * i, i, **NONSENSE[told]) for i in range(1, people + 1)]
    write(tmp_path, found)
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path)
    assert told in caplog.text
    assert told in audit(dataset, tmp_path / "audit").summary()


def test_a_box_of_size_0_is_nobody_to_find(tmp_path: Path) -> None:
    found = document()
    found["annotations"] = [person(1, 1), person(2, 2, bbox=[0, 0, 0, 0]), person(3, 3, bbox=[5, 5, 0, 40])]
    write(tmp_path, found)
    dataset = opened(tmp_path)
    assert dataset.num_scored() == 1
    hit = [{"image_id": 1, "keypoints": person(1, 1)["keypoints"], "score": 0.9}]
    assert score(dataset.ground_truth(), hit)["AR"] == 1


@pytest.mark.parametrize("layout", ["crowdpose", "coco"])
@pytest.mark.parametrize("tool", ["a box of the joint", "no box", "rounded"])
def test_a_joint_alone_gets_a_box_to_score_by(tmp_path: Path, layout: str, tool: str, caplog: Any) -> None:
    found = document(["nose"])
    boxes = {"a box of the joint": [30.5, 20.25, 0.0, 0.0], "no box": None, "rounded": [30, 20, 1, 0]}
    found["annotations"] = [
        person(i, i, keypoints=[30.5, 20.25, 2], num_keypoints=1, area=0.0, bbox=boxes[tool])
        for i in (1, 2, 3)
    ]
    write(tmp_path, found, "train" if layout == "coco" else "images", "json/crowdpose_train.json")
    if layout == "coco":
        (tmp_path / "json/crowdpose_train.json").rename(tmp_path / "train.json")
    (tmp_path / "one.yaml").write_text("{joints: [nose], sigmas: [0.1], name: one}")
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path, layout=layout, skeleton=str(tmp_path / "one.yaml"), protocol=layout)
    assert "joints of 3 people lie on one spot" in caplog.text
    assert "size 0" not in caplog.text
    assert dataset.records[0].boxes[0].tolist() == [26.5, 16.25, 8, 8]
    assert dataset.num_scored() == 3
    for off, ap in ((0, 1), (20, 0)):
        hits = [{"image_id": i, "keypoints": [30.5 + off, 20.25, 1], "score": 0.9} for i in (1, 2, 3)]
        assert score(dataset.ground_truth(), hits, layout, skeleton=dataset.skeleton)["AP"] == ap


@pytest.mark.parametrize(
    "change", [{"iscrowd": 1}, {"num_keypoints": 0}, {"bbox": [3, 3, 0, 0]}, {"keypoints": [0] * 42}]
)
def test_a_split_where_nobody_counts_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    found = document()
    found["annotations"] = [person(i, i, **change) for i in range(1, 4)]
    if "keypoints" in change:
        for entry in found["annotations"]:
            del entry["num_keypoints"]
    write(tmp_path, found)
    dataset = opened(tmp_path)
    with pytest.raises(InputError, match="nobody to score"):
        dataset.require_people()
    assert "nobody here counts" in audit(dataset, tmp_path / "audit").summary()


@pytest.mark.parametrize("lacking", [1, 3])
def test_an_area_that_is_not_there_is_derived_and_said(tmp_path: Path, lacking: int, caplog: Any) -> None:
    found = document()
    for entry in found["annotations"][lacking:]:
        entry["area"] = 700.0
    if lacking == 1:  # else the one that has none would be at fault
        found["annotations"] += [person(50 + i, 1) for i in range(3)]
    write(tmp_path, found, "train", "annotations/train.json")
    with caplog.at_level(logging.WARNING):
        dataset = opened(tmp_path, layout="coco", skeleton="crowdpose", protocol="coco")
    assert "have no area" in caplog.text
    assert dataset.records[0].areas[0] == pytest.approx(0.53 * 26 * 39)
    assert dataset.num_scored() == len(found["annotations"])


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


ABSENT = """
import os, runpy, sys
for name in ("sched_getaffinity", "sched_setaffinity", "sysconf"):
    if hasattr(os, name): delattr(os, name)
real = os.open
def no_folders(path, *rest, **more):
    if os.path.isdir(path): raise PermissionError(13, "a folder", path)
    return real(path, *rest, **more)
os.open = no_folders
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("pixels", ["true", "false"])
def test_nothing_that_macos_or_windows_lack_is_needed(tmp_path: Path, pixels: str) -> None:
    write(tmp_path, document())
    words = [
        "supernet.audit",
        "data=crowdpose",
        f"data.root={tmp_path}",
        "splits=[train]",
        f"pixels={pixels}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def png(width: int, height: int) -> bytes:
    """A PNG of one colour that is tiny in the file."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    rows = zlib.compress(bytes((width + 8) // 8) * height, 9)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    return b"BM" + bytes(16) + struct.pack("<ii", width, height) + bytes(40)


@pytest.mark.parametrize("make", [png, bmp])
def test_pictures_of_too_many_pixels(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="LITEPOSE_MAX_PIXELS=400000000"):
        decode_rgb(make(20000, 20000), "it")
    monkeypatch.setenv("LITEPOSE_MAX_PIXELS", "5000")
    with pytest.raises(InputError, match="LITEPOSE_MAX_PIXELS=6400"):
        decode_rgb(png(80, 80), "it")
    monkeypatch.setenv("LITEPOSE_MAX_PIXELS", "6400")
    assert decode_rgb(png(80, 80), "it").shape == (80, 80, 3)


def test_what_unpacks_without_end(tmp_path: Path) -> None:
    zeros = b"[" + b"0," * 2**24 + b"0]"
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(zeros))
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("json/crowdpose_train.json", zeros)
    with pytest.raises(InputError, match="times its size"):
        read_json(tmp_path / "a.json.gz")
    with pytest.raises(InputError, match="times its size"):
        opened(tmp_path / "all.zip")
    with pytest.raises(InputError, match="times its size"):
        opened(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    write(tmp_path, document())
    path = tmp_path / "images" / "2.png"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(InputError, match=r"2\.png"):
        opened(tmp_path)
    with pytest.raises(InputError, match="it is"):
        read_bytes(path)
    dataset = opened(tmp_path, on_error="skip")
    assert [record.image_id for record in dataset.records] == [1, 3]


@pytest.mark.parametrize("text", ["", "x: &x [*x]\n"])
def test_aliases_of_yaml(tmp_path: Path, text: str) -> None:
    levels = "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(9))
    (tmp_path / "own.yaml").write_text(text or f"a0: &a0 [1, 2]\n{levels}")
    with pytest.raises(InputError, match="aliases"):
        read_yaml(tmp_path / "own.yaml")
    (tmp_path / "own.yaml").write_text("a: &a [1, 2]\nb: [*a, *a]\n")
    assert read_yaml(tmp_path / "own.yaml")["b"] == [[1, 2], [1, 2]]


def test_headers_of_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", 2**25) + b"{" + b" " * 2**25)
    with pytest.raises(InputError, match="LITEPOSE_MAX_HEADER"):
        check_tensors(file)
    monkeypatch.setenv("LITEPOSE_MAX_HEADER", str(2**25))
    check_tensors(file)


@pytest.mark.parametrize("suffix", [".gif", ".avif", ".HEIC"])
def test_pictures_that_are_not_read_are_told(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, document())
    (tmp_path / "images" / f"holiday{suffix}").write_bytes(b"GIF89a")
    frames = open_frames(tmp_path / "images")
    assert [frame.name for frame in frames] == ["1.png", "2.png", "3.png"]
    (told,) = frames.failures
    assert f"holiday{suffix}" in told


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_folders_to_predict_hold_regular_files(tmp_path: Path, kind: str) -> None:
    write(tmp_path, document())
    path = tmp_path / "images" / "0.png"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    frames = open_frames(tmp_path / "images")
    assert len(list(frames)) == 3
    assert "0.png" in frames.failures[0]


def test_a_telephones_photograph_is_predicted_upright(tmp_path: Path) -> None:
    image = np.zeros((40, 24, 3), np.uint8)
    image[:10] = 255
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(np.rot90(image)).save(tmp_path / "photo.jpg", exif=tag)
    (frame,) = open_frames(tmp_path / "photo.jpg")
    assert frame.image.shape == image.shape
    assert frame.image[:8].min() > 200 > 50 > frame.image[14:].max()


def test_nothing_is_averaged_with_a_mirror_image_that_nobody_knows() -> None:
    skeleton = Skeleton.from_dict({"joints": ["a", "b"], "sigmas": [0.1, 0.1]})
    with pytest.raises(InputError, match="mirror"):
        run_passes(lambda images: [], np.zeros((1, 3, 64, 64), np.float32), skeleton, flip=True)
