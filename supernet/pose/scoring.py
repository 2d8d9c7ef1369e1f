"""Metrics of found people by the protocol of their data set."""

from __future__ import annotations

import os
import warnings

from .protocols import PROTOCOLS, Protocol
from .results import Detections, GroundTruth, Record, read_detections, read_ground_truth
from .skeletons import Skeleton


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
