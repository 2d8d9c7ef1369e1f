"""What the shipped network finds on the first six photographs of the test split that may be shown.

    python -m experiments.photographs.pictures /data/real [--arch photographs]

`LICENCES.tsv` beside them says which: COCO images under CC BY or CC BY-SA, or without known restrictions.
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
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == "test"][:SHOWN]
    ids = [int(row["image_id"]) for row in rows]
    dataset = open_split(DataConfig(root=str(args.root)), "test")
    part = dataset.subset([i for i, record in enumerate(dataset.records) if record.image_id in ids])
    opened = open_source(args.arch)
    run = run_of(opened, "torch", 1)
    found = Evaluator(part, EvaluationOptions())(run, opened.arch.resolution, opened.head).detections
    pictures, titles = [], []
    licences = {int(row["image_id"]): LICENCES[row["licence"]] for row in rows}
    for index, record in enumerate(part.records):
        people = people_of(record.image_id, found, part.skeleton.num_joints)
        image = part.read_image(index)
        pictures.append(draw_people(image, people, part.skeleton, MIN_SCORE, MIN_JOINT))
        titles.append(f"COCO image {record.image_id}, {licences[record.image_id]}")
    sheet = contact_sheet(pictures, titles, columns=3, cell=(320, 260))
    data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()
    write_bytes(Path(__file__).parent / "predictions.jpg", data)


if __name__ == "__main__":
    main()
