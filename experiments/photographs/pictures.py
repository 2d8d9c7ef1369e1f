"""What the shipped network finds on six photographs that it was not trained on.

    python -m experiments.photographs.pictures /data/real [--arch photographs]

`LICENCES.tsv` beside them says which of the val and test splits may be shown: COCO images under CC BY or CC
BY-SA, or without known restrictions. Of these it takes the ones with the most labelled joints of one person,
ties by number, and looks at no prediction.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2

from experiments.demo.pictures import MIN_JOINT, MIN_SCORE
from subnets.runtime import run_of
from subnets.source import open_source
from supernet.data.source import DataConfig, open_split
from supernet.evaluation import Evaluator
from supernet.options import EvaluationOptions
from supernet.pose.drawing import contact_sheet, draw_people
from supernet.runs.files import write_bytes
from supernet.training.pictures import people_of

SHOWN = 6
LICENCES = {
    "Attribution License": "CC BY 2.0",
    "Attribution-ShareAlike License": "CC BY-SA 2.0",
    "No known copyright restrictions": "no known restrictions",
}


def main() -> None:
    """Write `predictions.jpg` beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--arch", default="photographs")
    args = parser.parse_args()
    with (args.root / "LICENCES.tsv").open() as file:
        licences = {
            int(row["image_id"]): LICENCES[row["licence"]] for row in csv.DictReader(file, delimiter="\t")
        }
    splits = [open_split(DataConfig(root=str(args.root)), split) for split in ("val", "test")]
    free = [
        (-max(record.num_keypoints), record.image_id, dataset, i)
        for dataset in splits
        for i, record in enumerate(dataset.records)
        if record.image_id in licences
    ]
    opened = open_source(args.arch)
    run = run_of(opened, "torch", 1)
    pictures, titles = [], []
    for _, image_id, dataset, i in sorted(free, key=lambda photograph: photograph[:2])[:SHOWN]:
        part = dataset.subset([i])
        found = Evaluator(part, EvaluationOptions())(run, opened.arch.resolution, opened.head).detections
        people = people_of(image_id, found, part.skeleton.num_joints)
        pictures.append(draw_people(part.read_image(0), people, part.skeleton, MIN_SCORE, MIN_JOINT))
        titles.append(f"COCO image {image_id}, {licences[image_id]}")
    sheet = contact_sheet(pictures, titles, columns=3, cell=(320, 260))
    data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
    write_bytes(Path(__file__).parent / "predictions.jpg", data)


if __name__ == "__main__":
    main()
