"""What perfect predictions score on the real CrowdPose annotations, and the counts that the protocol sees.

python -m experiments.pose.perfect ANNOTATIONS
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from supernet.pose import score
from supernet.pose.protocols import CROWDPOSE


def perfect_detections(truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Every scored person's labelled pose as a detection with score 1."""
    return [
        {"image_id": record["image_id"], "category_id": 1, "keypoints": record["keypoints"], "score": 1.0}
        for record in truth["annotations"]
        if record["num_keypoints"] > 0 and not record["iscrowd"]
    ]


def all_detections(truth: dict[str, Any]) -> list[dict[str, Any]]:
    """The same for everybody who has a labelled joint, head and neck included."""
    return [
        {"image_id": record["image_id"], "category_id": 1, "keypoints": record["keypoints"], "score": 1.0}
        for record in truth["annotations"]
        if any(record["keypoints"][2::3])
    ]


def summary(truth: dict[str, Any]) -> dict[str, int]:
    """Images, people, people that count, and images per crowd level."""
    scored = [r for r in truth["annotations"] if r["num_keypoints"] > 0 and not r["iscrowd"]]
    indices = [image["crowdIndex"] for image in truth["images"]]
    subsets = {level: len(places) for level, places in CROWDPOSE.by_level(indices).items()}
    return {
        "images": len(truth["images"]),
        "people": len(truth["annotations"]),
        "scored": len(scored),
        **subsets,
    }


def main() -> None:
    """Print the counts and both scores as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    truth = json.loads(parser.parse_args().annotations.read_text())
    results = {
        "counts": summary(truth),
        "scored people": score(truth, perfect_detections(truth)),
        "all people": score(truth, all_detections(truth)),
    }
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
