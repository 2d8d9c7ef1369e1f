"""The crowds that a small network can learn in minutes: few people, none of them tiny.

python -m experiments.ablations.poses crowdpose_val.json      # writes runs/ablations/poses.json
"""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from supernet.cli import fail
from supernet.errors import InputError
from supernet.runs.files import read_json, write_json

POSES = Path("runs/ablations/poses.json")
MOST_PEOPLE = 5
# Of the image's short side.
LEAST_HEIGHT = 0.4


def fitting(document: dict[str, Any]) -> dict[str, Any]:
    """The images of an annotation file with 1 to 5 people, each at least 0.4 of the short side high."""
    people: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in document["annotations"]:
        people[annotation["image_id"]].append(annotation)
    kept = []
    for image in document["images"]:
        heights = [person["bbox"][3] for person in people[image["id"]]]
        least = LEAST_HEIGHT * min(image["width"], image["height"])
        if 1 <= len(heights) <= MOST_PEOPLE and min(heights) >= least:
            kept.append(image)
    return {
        **document,
        "images": kept,
        "annotations": [person for image in kept for person in people[image["id"]]],
    }


def write_poses(source: str) -> None:
    """Write the fitting part of an annotation file to `POSES`, unless that is done.

    Raises:
        InputError: the file cannot be read, or `POSES` was made from another one.
    """
    document = read_json(source, "poses file")
    digest = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    if not POSES.exists():
        write_json(POSES, {**fitting(document), "info": {"source_sha256": digest}}, indent=None)
    elif read_json(POSES, "poses file").get("info", {}).get("source_sha256") != digest:
        raise InputError(
            f"{POSES} was made from another file than {source}; for other poses work in another folder"
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        write_poses(sys.argv[1])
    except InputError as error:
        fail(error)
