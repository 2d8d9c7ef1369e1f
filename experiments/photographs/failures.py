"""The most common failures of the supernet's large and tiny subnet on test photographs, with pictures.

    python -m experiments.photographs.failures /data/real

Per kind of failure the photograph, of those that may be shown (see pictures.py), in which the large one
fails most: labels, large, tiny. Over all test photographs: how often either fails, and where only one does.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from experiments.demo.pictures import MIN_JOINT, MIN_SCORE
from experiments.photographs.pictures import LICENCES
from experiments.photographs.score import common_joints
from subnets.runtime import run_of
from subnets.source import open_source
from supernet.data.dataset import PoseDataset
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluator
from supernet.options import EvaluationOptions
from supernet.pose.diagnosis import Diagnosis, diagnose
from supernet.pose.drawing import contact_sheet, draw_people
from supernet.pose.people import People
from supernet.runs.files import write_bytes, write_json
from supernet.training.pictures import people_of

SUBNETS = ("photographs:large", "photographs:tiny")
# What fails, and how often it does in one photograph: people, or joints of people who were found.
KINDS: dict[str, Callable[[Diagnosis], int]] = {
    "missed people": lambda found: found.people - found.matched,
    "joints of somebody else": lambda found: int(found.counts[:, 3].sum()),
    "left and right exchanged": lambda found: int(found.counts[:, 2].sum()),
    "limbs far from anything": lambda found: int(found.counts[:, 4].sum()),
    "people who are nobody": lambda found: found.background,
}
SHOWN = list(KINDS)[:4]


def failures(test: Evaluator, found: list[dict[str, Any]]) -> dict[int, dict[str, int]]:
    """How often each kind of failure happens, per photograph."""
    dataset: PoseDataset = test.dataset
    counts = {}
    for record in dataset.records:
        truth = dataset.ground_truth({record.image_id})
        if not any(each["num_keypoints"] for each in truth["annotations"]):
            continue
        mine = [each for each in found if each["image_id"] == record.image_id and each["score"] >= MIN_SCORE]
        result = diagnose(truth, mine, dataset.protocol, dataset.skeleton)
        counts[record.image_id] = {kind: count(result) for kind, count in KINDS.items()}
    return counts


def labels(dataset: PoseDataset, index: int) -> People:
    """The labelled people of a photograph, to be drawn."""
    keypoints = dataset.records[index].keypoints
    keypoints = keypoints[(keypoints[..., 2] > 0).any(axis=1)]
    drawn = np.concatenate([keypoints[..., :2], keypoints[..., 2:] > 0], axis=-1).astype(np.float32)
    ones = np.ones(len(keypoints), np.float32)
    return People(drawn, ones[:, None], ones)


def main() -> None:
    """Print the counts, and write `failures.json` and `failures.jpg` beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="the photographs' folder")
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = common_joints(open_split(DataConfig(root=str(args.root)), "test"))
    test, found = Evaluator(dataset, EvaluationOptions()), {}
    for name in SUBNETS:
        opened = open_source(name)
        found[name] = test(run_of(opened, "torch", 1), opened.arch.resolution, opened.head).detections
    counts = {name: failures(test, each) for name, each in found.items()}
    large, tiny = (counts[name] for name in SUBNETS)
    rows = [
        {
            "kind": kind,
            **{name: sum(each[kind] for each in counts[name].values()) for name in SUBNETS},
            "photographs where only the large one does": sum(
                bool(large[i][kind]) and not tiny[i][kind] for i in large
            ),
            "only the tiny one": sum(bool(tiny[i][kind]) and not large[i][kind] for i in large),
            "both": sum(bool(tiny[i][kind]) and bool(large[i][kind]) for i in large),
        }
        for kind in KINDS
    ]
    for row in rows:
        print(json.dumps(row))
    with (args.root / "LICENCES.tsv").open() as file:
        licences = {int(row["image_id"]): row["licence"] for row in csv.DictReader(file, delimiter="\t")}
    pictures, titles, used = [], [], set[int]()
    places = {record.image_id: index for index, record in enumerate(dataset.records)}
    free = [i for i in large if i in licences]
    # Kinds that few photographs show choose first.
    for kind in sorted(SHOWN, key=lambda kind: sum(large[i][kind] > 0 for i in free)):
        rank = {i: large[i][kind] for i in free if i not in used}
        worst = max(rank, key=lambda i: (rank[i], -i))
        used.add(worst)
        image = dataset.read_image(places[worst])
        shown = {"labels": labels(dataset, places[worst])}
        for name in SUBNETS:
            shown[name] = people_of(worst, found[name], dataset.skeleton.num_joints)
        for what, people in shown.items():
            pictures.append(draw_people(image, people, dataset.skeleton, MIN_SCORE, MIN_JOINT))
            number = "" if what == "labels" else f": {counts[what][worst][kind]}"
            credit = f"COCO {worst}, {LICENCES[licences[worst]]}"
            titles.append(credit if what == "labels" else f"{what.split(':')[1]}, {kind}{number}")
    sheet = contact_sheet(pictures, titles, columns=3, cell=(280, 210))
    data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    write_bytes(Path(__file__).parent / "failures.jpg", data)
    write_json(Path(__file__).parent / "failures.json", {"subnets": SUBNETS, "kinds": rows})


if __name__ == "__main__":
    main()
