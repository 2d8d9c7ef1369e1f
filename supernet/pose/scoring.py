"""Average precision of found people by the protocols of CrowdPose and COCO."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from .results import Detections, GroundTruth, Record, read_detections, read_ground_truth
from .skeletons import Skeleton


def crowd_subsets(truth: Record) -> dict[str, list[int]]:
    """Image ids by crowd index: easy < 0.2 <= medium < 0.8 <= hard; all empty where images have no crowd
    index.
    """
    subsets: dict[str, list[int]] = {"easy": [], "medium": [], "hard": []}
    for image in truth["images"]:
        if "crowdIndex" in image:
            index = image["crowdIndex"]
            subsets["easy" if index < 0.2 else "medium" if index < 0.8 else "hard"].append(image["id"])
    return subsets


def by_faster_coco_eval(
    truth: Record, found: list[Record], dataset: str, layout: Skeleton
) -> dict[str, float]:
    from faster_coco_eval import COCO, COCOeval_faster

    crowd = dataset == "crowdpose"
    # The COCO sigmas are left to the library: its own differ from the written ones in the last bit.
    sigmas = None if layout == Skeleton.load("coco") else list(layout.sigmas)
    gt = COCO(truth)
    evaluator = COCOeval_faster(
        gt,
        gt.loadRes(found),
        "keypoints_crowd" if crowd else "keypoints",
        print_function=_silent,
        kpt_oks_sigmas=sigmas,
        use_area=not crowd,
    )
    evaluator.params.catIds = [truth["categories"][0]["id"]]  # it lists none where nobody is annotated
    figures = _figures(evaluator, crowd)
    if crowd:
        for name, image_ids in crowd_subsets(truth).items():
            evaluator.params.imgIds = image_ids
            figures[f"AP_{name}"] = round(_evaluate(evaluator)[0][..., 0].mean(), 4) if image_ids else -1.0
    return {name: float(value) for name, value in figures.items()}


def _silent(*_: object) -> None:
    """Takes the libraries' messages."""


def _evaluate(evaluator: Any) -> tuple[Any, Any]:
    """Precision (10, 101, areas) and recall (10, areas) over the evaluator's images; -1 where undefined."""
    evaluator.evaluate()
    evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    return precision[:, :, 0, :, 0], recall[:, 0, :, 0]


def _figures(evaluator: Any, crowd: bool) -> dict[str, Any]:
    precision, recall = _evaluate(evaluator)
    figures = {}
    for name, values in (("AP", precision), ("AR", recall)):
        # thresholds 0.50, 0.55, ..., 0.95; areas all, medium, large
        figures[name] = _mean(values[..., 0])
        figures[f"{name}50"] = _mean(values[0, ..., 0])
        figures[f"{name}75"] = _mean(values[5, ..., 0])
        if not crowd:
            figures[f"{name}_medium"] = _mean(values[..., 1])
            figures[f"{name}_large"] = _mean(values[..., 2])
    return figures


def _mean(values: Any) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


def by_pycocotools(truth: Record, found: list[Record], dataset: str, layout: Skeleton) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO()
        gt.dataset = truth
        gt.createIndex()
        evaluator = COCOeval(gt, gt.loadRes(found) if found else no_results(gt), "keypoints")
        if layout != Skeleton.load("coco"):
            evaluator.params.kpt_oks_sigmas = np.asarray(layout.sigmas)
        return _figures(evaluator, crowd=False)


def no_results(gt: Any) -> Any:
    results = type(gt)()  # loadRes cannot take an empty list
    results.dataset = {
        "images": gt.dataset["images"],
        "annotations": [],
        "categories": gt.dataset["categories"],
    }
    results.createIndex()
    return results


def by_crowdposetools(truth: Record, found: list[Record], dataset: str, layout: Skeleton) -> dict[str, float]:
    from crowdposetools.coco import COCO
    from crowdposetools.cocoeval import COCOeval

    if not found:
        return by_faster_coco_eval(truth, found, dataset, layout)  # its loadRes cannot take an empty list
    # It reads the crowd indices from the annotation file itself, so both must be files.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        paths = [Path(folder, name) for name in ("gt.json", "dt.json")]
        for path, value in zip(paths, (truth, found), strict=True):
            path.write_text(json.dumps(value))
        gt = COCO(str(paths[0]))
        evaluator = COCOeval(gt, gt.loadRes(str(paths[1])), "keypoints")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    names = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")
    return {name: float(value) for name, value in zip(names, evaluator.stats, strict=True)}


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
