"""What a data set asks of its annotations, and how people found in its images are scored.

A protocol is chosen by name (`data.protocol`), whatever the joints and wherever the files lie. CrowdPose's
and COCO's ship; others are registered in `PROTOCOLS`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..registry import Registry
from .people import AREA_OF_BOX, joint_boxes
from .results import Detections, GroundTruth, Record, read_detections, read_ground_truth
from .skeletons import Skeleton

Metrics = dict[str, float]


@dataclass(frozen=True)
class Scorer:
    """A program that computes the metrics of a protocol.

    Attributes:
        run: from prepared annotations, COCO keypoint results and the joints to the metrics.
        module: what must be installed for it.
        joints: the only joints that it scores; None for any.
    """

    run: Callable[[Record, list[Record], Skeleton], Metrics]
    module: str = "numpy"
    joints: tuple[str, ...] | None = None

    def missing(self, skeleton: Skeleton) -> str | None:
        """Why it cannot score people of these joints here, if it cannot."""
        if not importlib.util.find_spec(self.module):
            return f"{self.module} is not installed"
        if self.joints not in (None, skeleton.joints):
            return f"{self.module} scores the {len(self.joints or ())} joints of its own data set only"
        return None


@dataclass(frozen=True)
class Protocol:
    """What a data set asks.

    Attributes:
        metrics: names of what its scorers give. The first is what networks are compared and chosen by: larger
            is better, 0..1, -1 where nobody is to be found.
        scorers: by name, the preferred one first.
        area: of an annotated person, in square pixels of the image: what distances are measured by.
        needs: fields of every annotation without which nothing can be scored.
        skeleton: the joints where none are given.
        uncounted: joints that `num_keypoints` leaves out in annotations of these joints.
        levels: of the crowd index: name to the lowest index of the level, ascending; empty without any.
        crowd_index: from an image's annotations (of these joints) to its index, as the data set defines it.
    """

    metrics: tuple[str, ...]
    scorers: Mapping[str, Scorer]
    area: Callable[[Record], float]
    needs: tuple[str, ...] = ("bbox",)
    skeleton: str = "crowdpose"
    uncounted: tuple[str, ...] = ()
    levels: Mapping[str, float] = field(default_factory=dict)
    crowd_index: Callable[[Sequence[Record]], float] | None = None

    def owns(self, skeleton: Skeleton) -> bool:
        """Whether these are the joints that the protocol was made for."""
        return skeleton.joints == Skeleton.load(self.skeleton).joints

    def counted(self, skeleton: Skeleton) -> list[int]:
        """The joints that `num_keypoints` counts."""
        left_out = self.uncounted if self.owns(skeleton) else ()
        return [index for index, joint in enumerate(skeleton.joints) if joint not in left_out]

    def by_level(self, indices: Sequence[float] | NDArray[np.float64]) -> dict[str, list[int]]:
        """The positions of crowd indices at each level; nan is at none."""
        bounds = [*self.levels.values()][1:]
        level = np.searchsorted(bounds, indices, side="right") if len(indices) else np.zeros(0, int)
        level[np.isnan(np.asarray(indices, float))] = -1
        return {name: np.flatnonzero(level == i).tolist() for i, name in enumerate(self.levels)}

    def usable(self, scorer: str, skeleton: Skeleton) -> list[str]:
        """The scorers to try, in order.

        Raises:
            InputError: `scorer` is none of the protocol's (nor "auto"), or cannot score these joints here.
        """
        missing = {name: one.missing(skeleton) for name, one in self.scorers.items()}
        if scorer == "auto":
            return [name for name, reason in missing.items() if reason is None]
        if scorer not in missing:
            known = ", ".join(("auto", *missing))
            raise InputError(f"unknown scorer {scorer!r} for this protocol; use one of {known}")
        if (reason := missing[scorer]) is not None:
            raise InputError(f"{reason}; use scorer=auto")
        return [scorer]

    def prepare(self, truth: Record, skeleton: Skeleton) -> None:
        """Fill in what the protocol derives and check what it needs, in place.

        A person whose area is 0 is nobody to find: no distance could be measured by it.

        Raises:
            InputError: a field that it needs, or some of the crowd indices, are missing.
        """
        counted = self.counted(skeleton)
        for record in truth["annotations"]:
            where = f"annotation of image {record['image_id']}"
            for key in self.needs:
                if key not in record:
                    raise InputError(f"{where} has no {key!r}, which the protocol needs for scoring")
            if "bbox" not in record:
                joints = np.reshape(np.asarray(record["keypoints"], float), (1, -1, 3))
                record["bbox"] = joint_boxes(joints)[0].tolist()
            visibility = record["keypoints"][2::3]
            record.setdefault("num_keypoints", sum(visibility[joint] > 0 for joint in counted))
            if not self.area(record) > 0:
                record["num_keypoints"] = 0
        indexed = sum("crowdIndex" in image for image in truth["images"])
        if self.levels and 0 < indexed < len(truth["images"]):
            raise InputError(
                f"only {indexed} of {len(truth['images'])} images have a crowdIndex; give all or none"
            )


_CROWD_METRICS = ("AP", "AP50", "AP75", "AR", "AR50", "AR75", "AP_easy", "AP_medium", "AP_hard")
_COCO_METRICS = ("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")


def _crowdpose_by_faster(truth: Record, found: list[Record], skeleton: Skeleton) -> Metrics:
    evaluator = _faster(truth, found, "keypoints_crowd", list(skeleton.sigmas))
    metrics = _metrics(evaluator, ("",))
    indices = [image.get("crowdIndex", np.nan) for image in truth["images"]]
    for level, places in CROWDPOSE.by_level(indices).items():
        evaluator.params.imgIds = [truth["images"][place]["id"] for place in places]
        value = round(_evaluated(evaluator)[0][..., 0].mean(), 4) if places else -1.0
        metrics[f"AP_{level}"] = float(value)
    return metrics


def _coco_by_faster(truth: Record, found: list[Record], skeleton: Skeleton) -> Metrics:
    return _metrics(_faster(truth, found, "keypoints", _own_sigmas(skeleton)), ("", "_medium", "_large"))


def _own_sigmas(skeleton: Skeleton) -> list[float] | None:
    """COCO's are left to the libraries: theirs differ from the written ones in the last bit."""
    return None if skeleton.sigmas == Skeleton.load("coco").sigmas else list(skeleton.sigmas)


def _faster(truth: Record, found: list[Record], kind: str, sigmas: list[float] | None) -> Any:
    from faster_coco_eval import COCO, COCOeval_faster

    gt = COCO(truth)
    evaluator = COCOeval_faster(
        gt,
        gt.loadRes(found),
        kind,
        print_function=lambda *_: None,
        kpt_oks_sigmas=sigmas,
        use_area=kind == "keypoints",
    )
    evaluator.params.catIds = [truth["categories"][0]["id"]]  # it lists none where nobody is annotated
    return evaluator


def _coco_by_pycocotools(truth: Record, found: list[Record], skeleton: Skeleton) -> Metrics:
    with contextlib.redirect_stdout(io.StringIO()):
        return _metrics(pycocotools_evaluator(truth, found, _own_sigmas(skeleton)), ("", "_medium", "_large"))


def pycocotools_evaluator(truth: Record, found: list[Record], sigmas: Sequence[float] | None) -> Any:
    """pycocotools' evaluator of keypoints; it prints."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    gt, results = COCO(), COCO()
    gt.dataset = truth
    gt.createIndex()
    if found:
        results = gt.loadRes(found)
    else:  # of which loadRes makes nothing
        results.dataset = {**truth, "annotations": []}
        results.createIndex()
    evaluator = COCOeval(gt, results, "keypoints")
    if sigmas is not None:
        evaluator.params.kpt_oks_sigmas = np.asarray(sigmas)
    return evaluator


def _evaluated(evaluator: Any) -> tuple[Any, Any]:
    """Precision (10, 101, areas) and recall (10, areas) over the evaluator's images; -1 where undefined."""
    evaluator.evaluate()
    evaluator.accumulate()
    precision, recall = evaluator.eval["precision"], evaluator.eval["recall"]
    return precision[:, :, 0, :, 0], recall[:, 0, :, 0]


def _metrics(evaluator: Any, areas: Sequence[str]) -> Metrics:
    """AP and AR; those at single thresholds are of all areas (thresholds 0.50, 0.55, ..., 0.95)."""
    metrics: Metrics = {}
    for name, values in zip(("AP", "AR"), _evaluated(evaluator), strict=True):
        named = {name: values[..., 0], f"{name}50": values[0, ..., 0], f"{name}75": values[5, ..., 0]}
        named |= {f"{name}{area}": values[..., i] for i, area in enumerate(areas) if area}
        for key, part in named.items():
            defined = part[part > -1]
            metrics[key] = float(defined.mean()) if defined.size else -1.0
    return metrics


def _crowdpose_by_crowdposetools(truth: Record, found: list[Record], skeleton: Skeleton) -> Metrics:
    from crowdposetools.coco import COCO
    from crowdposetools.cocoeval import COCOeval

    if not found:
        return _crowdpose_by_faster(truth, found, skeleton)  # its loadRes cannot take an empty list
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
    return {name: float(value) for name, value in zip(_CROWD_METRICS, evaluator.stats, strict=True)}


def crowd_index(annotations: Sequence[Record]) -> float:
    """CrowdPose's crowdIndex of one image from its annotations (14 joints each).

    Mean, over people with `num_keypoints` > 3, of (labelled joints of all other annotations inside the
    person's box, borders included) / (the person's own labelled joints); all 14 joints count; two
    decimals, not clipped; 0 without such people. Equal to the `crowdIndex` of all 2,000 images of
    CrowdPose's val file when the annotations come in file order. Formula: Li et al., "CrowdPose",
    CVPR 2019, section 3, with what the files show.
    """
    joints = [np.asarray(a["keypoints"], float).reshape(-1, 3) for a in annotations]
    labelled = [k[k[:, 2] > 0, :2] for k in joints]
    ratios = []
    for i, annotation in enumerate(annotations):
        if annotation["num_keypoints"] <= 3:
            continue
        x, y, w, h = annotation["bbox"]
        others = [k for j, k in enumerate(labelled) if j != i]
        points = np.concatenate(others) if others else np.zeros((0, 2))
        inside = (points >= (x, y)).all(1) & (points <= (x + w, y + h)).all(1)
        ratios.append(int(inside.sum()) / len(labelled[i]))
    # numpy's rounding, not Python's: the files differ from the latter on exact halves.
    return float(np.round(np.mean(ratios), 2)) if ratios else 0.0


# Li et al., "CrowdPose" (CVPR 2019), as crowdposetools has it. faster-coco-eval gives the same metrics.
CROWDPOSE = Protocol(
    metrics=_CROWD_METRICS,
    scorers={
        "crowdposetools": Scorer(
            _crowdpose_by_crowdposetools, "crowdposetools", Skeleton.load("crowdpose").joints
        ),
        "faster-coco-eval": Scorer(_crowdpose_by_faster, "faster_coco_eval"),
    },
    area=lambda record: float(record["bbox"][3] * record["bbox"][2] * AREA_OF_BOX),
    uncounted=("head", "neck"),
    levels={"easy": 0.0, "medium": 0.2, "hard": 0.8},
    crowd_index=crowd_index,
)
# Lin et al., "Microsoft COCO" (ECCV 2014), as pycocotools has it.
COCO = Protocol(
    metrics=_COCO_METRICS,
    scorers={
        "faster-coco-eval": Scorer(_coco_by_faster, "faster_coco_eval"),
        "pycocotools": Scorer(_coco_by_pycocotools, "pycocotools"),
    },
    area=lambda record: float(record["area"]),
    needs=("area",),
    skeleton="coco",
)


def _check(protocol: Protocol) -> None:
    if not protocol.metrics or not protocol.scorers:
        raise InputError("it needs the names of its metrics and at least one scorer")
    Skeleton.load(protocol.skeleton)


PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    {"crowdpose": f"{__name__}:CROWDPOSE", "coco": f"{__name__}:COCO"},
    _check,
)


def main_metric(stats: Mapping[str, float]) -> tuple[str, float]:
    """Name and value of what networks are compared and chosen by: scores begin with it."""
    return next(iter(stats.items()))


def protocol_of(skeleton: Skeleton, otherwise: str) -> str:
    """The name of the protocol that was made for these joints; `otherwise` for joints of one's own."""
    return next((name for name in PROTOCOLS.names() if PROTOCOLS.get(name).owns(skeleton)), otherwise)


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
    three are rounded to 4 decimals; all as in crowdposetools. `dataset="coco"`: pycocotools' ten metrics.
    All lie in 0..1; -1 means that nobody was there to find (as both tools have it). The first is what
    networks are compared and chosen by.

    Args:
        ground_truth: annotations in COCO form: an object, or a path (.json, .json.gz).
        detections: a list of COCO keypoint results, or a path; may be empty.
        dataset: the protocol: "crowdpose", "coco" or one that was registered.
        scorer: "auto" takes the first of the protocol's that is installed and runs (crowdposetools, else
            faster-coco-eval, which gives the same metrics); or one of them, or "pycocotools" (COCO only).
        skeleton: joints and sigmas, where they are not the protocol's own.

    Raises:
        InputError: unreadable or inconsistent input; unknown image ids; a scorer that is not there.
    """
    protocol = PROTOCOLS.get(dataset)
    names = protocol.usable(scorer, Skeleton.load(skeleton or protocol.skeleton))
    _, layout, truth = open_truth(ground_truth, dataset, skeleton)
    found = read_detections(detections, truth, layout)
    for name, following in zip(names, [*names[1:], None], strict=True):
        try:
            stats = protocol.scorers[name].run(truth, found, layout)
            return {metric: stats[metric] for metric in protocol.metrics}
        except (AttributeError, ImportError) as error:  # crowdposetools uses names that numpy 1.24 dropped
            if following is None:
                raise
            warnings.warn(f"{name} fails ({error}); {following} scores instead", stacklevel=2)
    raise ImportError(f"none of {', '.join(protocol.scorers)} is installed")


def open_truth(
    ground_truth: GroundTruth, dataset: str, skeleton: Skeleton | str | os.PathLike[str] | None
) -> tuple[Protocol, Skeleton, Record]:
    """The protocol called `dataset`, the joints, and a fresh copy of the annotations with all it needs.

    Raises:
        InputError: the protocol is not known; unreadable or inconsistent input.
    """
    protocol = PROTOCOLS.get(dataset)
    layout = Skeleton.load(skeleton or protocol.skeleton)
    truth = read_ground_truth(ground_truth, layout)
    protocol.prepare(truth, layout)
    return protocol, layout, truth
