"""Small data sets as people's tools and telephones make them, audited by the real command.

    python -m experiments.real_input.run [--output experiments/real_input/result.json]

Each kind is written anew: four pictures of one bright square each, whose joints lie on it. `result.json` has
for each kind the exit status of `supernet.audit` and what it said beside the counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from supernet.pose.skeletons import Skeleton
from supernet.runs.files import write_json

JOINTS = Skeleton.load("crowdpose").joints
WIDTH, HEIGHT = 96, 80
Document = dict[str, Any]
# What a camera does to the pixels that a tag sets right.
TURNS = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_COUNTERCLOCKWISE, 8: cv2.ROTATE_90_CLOCKWISE}
ORDINARY = ("crowdpose-train: 4 images", "short side ", "details and pictures")


def square(number: int) -> float:
    """Where the square of a picture begins: at the edge in the last one, which tells which way up it is."""
    return 68.0 if number == 4 else 20.0


def person(number: int, **changes: Any) -> Document:
    left = square(number)
    points = np.column_stack([left + 2 * np.arange(14), 10 + 3 * np.arange(14), np.full(14, 2)])
    base = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": 12}
    return {**base, "keypoints": points.ravel().tolist(), "bbox": [left, 10.0, 26.0, 39.0], **changes}


def document() -> Document:
    images = [{"id": i, "file_name": f"{i}.png", "width": WIDTH, "height": HEIGHT} for i in range(1, 5)]
    categories = [{"id": 1, "name": "person", "keypoints": list(JOINTS)}]
    return {"images": images, "annotations": [person(i) for i in range(1, 5)], "categories": categories}


def everybody(**changes: Any) -> Callable[[Document], None]:
    def change(found: Document) -> None:
        found["annotations"] = [person(i, **changes) for i in range(1, 5)]

    return change


def named(names: list[str]) -> Callable[[Document], None]:
    return lambda found: found["categories"][0].update(keypoints=names)


def paths(form: str) -> Callable[[Document], None]:
    def change(found: Document) -> None:
        for image in found["images"]:
            image["file_name"] = form.format(image["id"])

    return change


def no_boxes(found: Document) -> None:
    for entry in found["annotations"]:
        del entry["bbox"]


def lone_joints(found: Document) -> None:
    for entry in found["annotations"]:
        first = entry["keypoints"][:3]
        entry.update(keypoints=first + [0] * 39, num_keypoints=1, bbox=[*first[:2], 0, 0], area=0)


def sideways(orientation: int, swapped: bool) -> Callable[[Document], None]:
    """JPEGs with an EXIF tag, whose annotations have their sizes upright, or `swapped`."""

    def change(found: Document) -> None:
        for image in found["images"]:
            image["file_name"] = f"{image['id']}-{orientation}.jpg"
            if swapped:
                image["width"], image["height"] = image["height"], image["width"]

    return change


def nothing(_: Document) -> None:
    pass


KINDS: dict[str, tuple[Callable[[Document], Any], list[str]]] = {
    "as it should be": (nothing, []),
    "joints in another order": (named(list(reversed(JOINTS))), []),
    "names with capitals and spaces": (named([name.replace("_", " ").title() for name in JOINTS]), []),
    "names of other joints": (named(["head_top", *JOINTS[1:]]), []),
    "joints called 0, 1, 2": (named([str(i) for i in range(14)]), []),
    "boxes of size 0": (everybody(bbox=[0, 0, 0, 0], area=0), []),
    "a joint alone in a box of size 0 (CVAT)": (lone_joints, []),
    "joints as fractions": (everybody(keypoints=[0.3, 0.4, 2] * 14, bbox=[0.2, 0.2, 0.5, 0.5]), []),
    "joints outside of the picture": (everybody(keypoints=[150, 20, 2] * 14, bbox=[140, 9, 20, 20]), []),
    "joints outside of their boxes": (everybody(bbox=[70, 60, 9, 9]), []),
    "only crowds": (everybody(iscrowd=1), []),
    "num_keypoints 0 throughout": (everybody(num_keypoints=0), []),
    "no area, COCO's protocol": (nothing, ["data.protocol=coco"]),
    "empty keypoints (CVAT)": (lambda d: d["annotations"].append(person(9, image_id=1, keypoints=[])), []),
    "a category without keypoints": (
        lambda d: d["categories"].append({"id": 2, "name": "ball", "keypoints": []}),
        [],
    ),
    "two categories with keypoints": (
        lambda d: d["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose"]}),
        [],
    ),
    "one of them chosen": (
        lambda d: d["categories"].append({"id": 2, "name": "dog", "keypoints": ["nose"]}),
        ["data.category=person"],
    ),
    "no boxes": (no_boxes, []),
    "backslashes (Label Studio)": (paths("images\\{}.png"), []),
    "images/ in front of names": (paths("images/{}.png"), []),
    "paths relative to the JSON": (paths("../images/{}.png"), []),
    "paths of another computer": (paths("C:\\me\\{}.png"), []),
    "telephone, only one picture tells": (sideways(6, False), []),
    "telephone, view given": (sideways(6, False), ["data.exif=upright"]),
    "telephone, sizes swapped, view given": (sideways(8, True), ["data.exif=upright"]),
    "telephone, the other view given": (sideways(6, False), ["data.exif=stored"]),
    "upside down": (sideways(3, False), []),
    "upside down, view given": (sideways(3, False), ["data.exif=upright"]),
}


def write(root: Path, found: Document) -> None:
    (root / "images").mkdir(parents=True)
    (root / "json").mkdir()
    for number in range(1, 5):
        image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        left = int(square(number))
        image[10:50, left : left + 27] = (40, 240, 250)
        cv2.imwrite(str(root / "images" / f"{number}.png"), image)
        for orientation, turn in TURNS.items():
            data = cv2.imencode(".jpg", cv2.rotate(image, turn))[1].tobytes()
            tag = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + bytes(6)
            segment = b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag
            (root / "images" / f"{number}-{orientation}.jpg").write_bytes(data[:2] + segment + data[2:])
    (root / "json" / "crowdpose_train.json").write_text(json.dumps(found))


def audited(change: Callable[[Document], Any], settings: list[str]) -> dict[str, Any]:
    """Exit status of the audit of a changed data set, and its lines but for the counts."""
    with tempfile.TemporaryDirectory() as folder:
        found = document()
        change(found)
        write(Path(folder) / "data", found)
        words = ["supernet.audit", "data=crowdpose", "data.root=data", "splits=[train]", *settings]
        done = subprocess.run(
            [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False
        )
    lines = [line.split("] - ")[-1] for line in (done.stdout + done.stderr).splitlines()]
    told = [line for line in lines if line.strip() and not line.startswith((*ORDINARY, "audit train"))]
    return {"status": done.returncode, "told": told[:3]}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("result.json"))
    output = parser.parse_args().output
    result = {}
    for kind, (change, settings) in KINDS.items():
        result[kind] = audited(change, settings)
        print(f"{kind}: {result[kind]['status']} {' / '.join(result[kind]['told'])}")
    write_json(output, {"schema": 1, "kinds": result})


if __name__ == "__main__":
    main()
