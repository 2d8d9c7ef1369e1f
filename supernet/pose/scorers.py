"""The evaluation libraries behind one form: checked ground truth and detections in, figures out."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .results import Record
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
    from faster_coco_eval import COCO
    from faster_coco_eval import COCOeval_faster

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
