"""Average precision of found people by the protocols of CrowdPose and COCO."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence

from ..errors import InputError
from .results import Detections
from .results import GroundTruth
from .results import Record
from .results import read_detections
from .results import read_ground_truth
from .scorers import by_crowdposetools
from .scorers import by_faster_coco_eval
from .scorers import by_pycocotools
from .skeletons import Skeleton

_SCORERS = {
    "faster-coco-eval": by_faster_coco_eval,
    "pycocotools": by_pycocotools,
    "crowdposetools": by_crowdposetools,
}
SCORERS = ("auto", *_SCORERS)


def score(
    ground_truth: GroundTruth,
    detections: Detections,
    dataset: str = "crowdpose",
    scorer: str = "auto",
    skeleton: Skeleton | str | os.PathLike[str] | None = None,
) -> dict[str, float]:
    """Score COCO keypoint results against annotations.

    `dataset="crowdpose"`: AP, AP50, AP75, AR, AR50, AR75 and AP_easy, AP_medium, AP_hard over images with a
    crowd index < 0.2, < 0.8 and above (Li et al., "CrowdPose", CVPR 2019). A person's area is 0.53 w h of
    the box, people without one of the first 12 joints are ignored, 20 detections count per image, the last
    three are rounded to 4 decimals; all as in crowdposetools. `dataset="coco"`: pycocotools' ten figures.
    All lie in 0..1; -1 means that nobody was there to find (as both tools have it).

    Args:
        ground_truth: annotations in COCO form: an object, or a path (.json, .json.gz).
        detections: a list of COCO keypoint results, or a path; may be empty.
        dataset: the protocol, "crowdpose" or "coco".
        scorer: "auto" takes crowdposetools where it is installed and runs, else faster-coco-eval, which gives
            the same figures; or one of them, or "pycocotools" (COCO only).
        skeleton: joints and sigmas, where they are not the data set's own.

    Raises:
        InputError: unreadable or inconsistent input; unknown image ids; a scorer that is not there.
    """
    layout = check_scorer(dataset, scorer, skeleton)
    truth = read_ground_truth(ground_truth, layout)
    found = read_detections(detections, truth, layout)
    prepare_truth(truth, dataset)
    if scorer != "auto":
        return _SCORERS[scorer](truth, found, dataset, layout)
    own = dataset == "crowdpose" and layout == Skeleton.load("crowdpose")
    if own and importlib.util.find_spec("crowdposetools"):
        try:
            return by_crowdposetools(truth, found, dataset, layout)
        except (AttributeError, ImportError) as error:  # it uses names that numpy 1.24 dropped
            warnings.warn(f"crowdposetools fails ({error}); faster-coco-eval scores instead", stacklevel=2)
    return by_faster_coco_eval(truth, found, dataset, layout)


def check_scorer(
    dataset: str, scorer: str, skeleton: Skeleton | str | os.PathLike[str] | None = None
) -> Skeleton:
    """The joint layout that `score` would go by with these arguments, if it can go by them.

    Raises:
        InputError: it cannot; the scorer is unknown, not there, or does not score the data set.
    """
    if dataset not in ("crowdpose", "coco"):
        raise InputError(f"unknown scoring protocol {dataset!r}; use crowdpose or coco")
    if scorer not in SCORERS:
        raise InputError(f"unknown scorer {scorer!r}; use one of {', '.join(SCORERS)}")
    if (scorer, dataset) in (("crowdposetools", "coco"), ("pycocotools", "crowdpose")):
        raise InputError(f"{scorer} does not score {dataset}; use scorer=faster-coco-eval")
    layout = Skeleton.load(skeleton or dataset)
    if scorer == "crowdposetools":
        if not importlib.util.find_spec(scorer):
            raise InputError("crowdposetools is not installed; use scorer=faster-coco-eval")
        if layout != Skeleton.load("crowdpose"):
            raise InputError(
                "crowdposetools scores the 14 CrowdPose joints only; use scorer=faster-coco-eval"
            )
    return layout


def prepare_truth(truth: Record, dataset: str) -> None:
    """Fill in what the protocol derives and check what it needs, in place.

    Raises:
        InputError: a box, an area or some of the crowd indices are missing.
    """
    counted = 12 if dataset == "crowdpose" else None
    needed = "bbox" if dataset == "crowdpose" else "area"
    for record in truth["annotations"]:
        record.setdefault("num_keypoints", sum(v > 0 for v in record["keypoints"][2::3][:counted]))
        if needed not in record:
            raise InputError(
                f"annotation of image {record['image_id']} has no {needed!r}, which {dataset} scoring needs"
            )
        if dataset == "coco":
            record.setdefault("bbox", _box(record["keypoints"]))
        elif len(record["bbox"]) != 4:
            raise InputError(
                f"annotation of image {record['image_id']} has a bbox that is not x, y, width, height"
            )
    indexed = sum("crowdIndex" in image for image in truth["images"])
    if dataset == "crowdpose" and 0 < indexed < len(truth["images"]):
        raise InputError(
            f"only {indexed} of {len(truth['images'])} images have a crowdIndex; give all or none"
        )


def area(record: Record, dataset: str) -> float:
    """The area of an annotated person: its own in COCO, 0.53 w h of its box in CrowdPose."""
    box = record.get("bbox", ())
    return float(box[3] * box[2] * 0.53 if dataset == "crowdpose" else record["area"])


def _box(keypoints: Sequence[float]) -> list[float]:
    x, y = keypoints[0::3], keypoints[1::3]
    return [min(x), min(y), max(x) - min(x), max(y) - min(y)]
