"""The training labels, mended by what MoveNet MultiPose sees in the training photographs.

    python -m experiments.photographs.relabel /data/real FRAMES               # frames for the teacher
    node experiments/photographs/teacher.js FRAMES > FRAMES/people.jsonl      # see its head for what it needs
    python -m experiments.photographs.relabel /data/real FRAMES train.json    # data.train_split=train.json

Where label and teacher agree once left and right are exchanged, they are exchanged. People whom nobody
labelled get the teacher's joints. Photographs of Leeds Sports Pose extended whose person the teacher does
not see as labelled are left out, and of the others every second one: one labelled person each, all athletes.
Validation and test photographs are not touched.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from supernet.pose.people import AREA_OF_BOX, oks
from supernet.pose.skeletons import Skeleton

SIDE, STEP = 384, 32
OURS, COCO = Skeleton.load("crowdpose"), Skeleton.load("coco")
# The joints that both have; head and neck are not among them.
SHARED = [joint for joint, name in enumerate(OURS.joints) if name in COCO.joints]
THERE = [COCO.joints.index(OURS.joints[joint]) for joint in SHARED]

Array = npt.NDArray[np.float64]


def write_frames(root: Path, folder: Path, images: list[dict[str, Any]]) -> None:
    """Raw RGB frames of long side `SIDE`, black below and to the right up to multiples of `STEP`."""
    folder.mkdir(parents=True, exist_ok=True)
    frames, offset = [], 0
    with (folder / "frames.raw").open("wb") as file:
        for image in images:
            pixels = cv2.cvtColor(cv2.imread(str(root / "images" / image["file_name"])), cv2.COLOR_BGR2RGB)
            scale = SIDE / max(pixels.shape[:2])
            sides = [round(side * scale) for side in pixels.shape[:2]]
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
            frame = np.zeros((*(-(-side // STEP) * STEP for side in sides), 3), np.uint8)
            frame[: sides[0], : sides[1]] = cv2.resize(pixels, sides[::-1], interpolation=how)
            file.write(frame.tobytes())
            height, width = frame.shape[:2]
            frames.append(
                {"id": image["id"], "height": height, "width": width, "scale": scale, "offset": offset}
            )
            offset += frame.size
    (folder / "frames.json").write_text(json.dumps(frames))


def read_people(folder: Path) -> dict[int, list[tuple[Array, Array, float]]]:
    """Per photograph: poses (14, 3) of x, y, confidence, boxes of left, top, right, bottom, and scores."""
    frames = {frame["id"]: frame for frame in json.loads((folder / "frames.json").read_text())}
    found: dict[int, list[tuple[Array, Array, float]]] = {}
    for line in (folder / "people.jsonl").read_text().splitlines():
        entry = json.loads(line)
        frame, mine = frames[entry["id"]], found.setdefault(entry["id"], [])
        size = np.array([frame["width"], frame["height"]]) / frame["scale"]
        for row in np.array(entry["people"]).reshape(-1, 56).round(4):
            if row[55] < 0.2:
                continue
            pose, joints = np.zeros((len(OURS.joints), 3)), row[:51].reshape(17, 3)
            pose[SHARED] = np.concatenate([joints[:, [1, 0]] * size, joints[:, 2:]], axis=1)[THERE]
            mine.append((pose, row[[52, 51, 54, 53]] * np.tile(size, 2), float(row[55])))
    return found


def likeness(label: Array, pose: Array, area: float) -> float:
    """OKS over the joints that both have; 0 where these are fewer than four."""
    both = (label[:, 2] > 0) & (pose[:, 2] > 0.15)
    if both.sum() < 4:
        return 0.0
    seen = np.where(both[:, None], label, 0)
    return float(oks(pose[None], seen[None], OURS.sigmas, np.array([area]))[0, 0])


def overlap(box: Array, other: Array) -> float:
    """Intersection over union of left, top, right, bottom."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])) - shared)


def taken(annotation: dict[str, Any], pose: Array, confidence: float) -> dict[str, Any]:
    """`annotation` with the joints of `pose` that are surer than `confidence`."""
    sure = pose[:, 2] > confidence
    joints = np.where(sure[:, None], np.concatenate([pose[:, :2].round(1), np.full((14, 1), 2)], axis=1), 0)
    return {**annotation, "keypoints": joints.ravel().tolist(), "num_keypoints": int(sure.sum())}


def mend(
    annotations: list[dict[str, Any]], people: list[tuple[Array, Array, float]], counts: Counter[str]
) -> tuple[list[dict[str, Any]], bool]:
    """The labels of one photograph, mended, and whether the teacher saw all whom they label."""
    mended, used, all_seen = [], set(), True
    for annotation in annotations:
        label = np.array(annotation["keypoints"], float).reshape(-1, 3)
        x, y, width, height = annotation["bbox"]
        if not annotation["num_keypoints"]:
            box = np.array([x, y, x + width, y + height])
            near = [(overlap(box, people[n][1]), -n) for n in range(len(people)) if n not in used]
            best, place = max(near, default=(0.0, 0))
            pose, _, score = people[-place] if near else (np.zeros((14, 3)), None, 0.0)
            if best > 0.5 and score > 0.3 and (pose[:, 2] > 0.3).sum() >= 6:
                used.add(-place)
                annotation = taken(annotation, pose, 0.3)
                counts["boxes that got joints"] += 1
        else:
            area, mirrored = max(AREA_OF_BOX * width * height, 1.0), label[list(OURS.flip)]
            alike = [(likeness(label, pose, area), likeness(mirrored, pose, area)) for pose, _, _ in people]
            place = int(np.argmax([max(pair) for pair in alike])) if alike else 0
            if alike and max(alike[place]) > 0.35:
                used.add(place)
                if alike[place][1] > alike[place][0] + 0.25:
                    label = mirrored
                    counts["exchanged sides"] += 1
                pose = people[place][0]
                if annotation["num_keypoints"] > 3:
                    for joint in np.flatnonzero((label[:, 2] == 0) & (pose[:, 2] > 0.4)):
                        label[joint] = (*pose[joint, :2].round(1), 2)
                        counts["joints added"] += 1
                annotation = {
                    **annotation,
                    "keypoints": label.ravel().tolist(),
                    "num_keypoints": int((label[:, 2] > 0).sum()),
                }
            else:
                all_seen = False
        mended.append(annotation)
    for place, (pose, box, score) in enumerate(people):
        sure = pose[:, 2] > 0.35
        if place in used or score < 0.35 or sure.sum() < 7:
            continue
        reach = 0.2 * max(box[2] - box[0], box[3] - box[1])
        if not any(_same_place(annotation, pose, sure, reach) for annotation in annotations):
            sides = [round(float(side), 1) for side in (*box[:2], *(box[2:] - box[:2]))]
            new = {"image_id": annotations[0]["image_id"], "category_id": 1, "iscrowd": 0, "bbox": sides}
            mended.append(taken(new, pose, 0.35))
            counts["people added"] += 1
    return mended, all_seen


def _same_place(annotation: dict[str, Any], pose: Array, sure: npt.NDArray[np.bool_], reach: float) -> bool:
    """Whether a labelled person stands where `pose` does."""
    label = np.array(annotation["keypoints"], float).reshape(-1, 3)
    both = sure & (label[:, 2] > 0)
    near = np.hypot(*(label[both, :2] - pose[both, :2]).T) < reach
    return bool(len(near)) and float(near.mean()) > 0.3


def main() -> None:
    """Write frames, or labels."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="the photographs' folder")
    parser.add_argument("frames", type=Path)
    parser.add_argument("output", type=Path, nargs="?")
    args = parser.parse_args()
    data = json.loads((args.root / "json/crowdpose_train.json").read_text())
    if args.output is None:
        write_frames(args.root, args.frames, data["images"])
        return
    people, by_image = read_people(args.frames), dict[int, list[dict[str, Any]]]()
    for annotation in data["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    counts: Counter[str] = Counter()
    athletes, images, annotations = 0, [], []
    for image in data["images"]:
        mended, all_seen = mend(by_image.get(image["id"], []), people.get(image["id"], []), counts)
        if image["source"] == "lspet":
            athletes += all_seen
            if not all_seen or athletes % 2 == 0:
                continue
        images.append(image)
        annotations += mended
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    args.output.write_text(json.dumps({**data, "images": images, "annotations": annotations}))
    print(f"{args.output}: {len(images)} photographs, {len(annotations)} people; {dict(counts)}")


if __name__ == "__main__":
    main()
