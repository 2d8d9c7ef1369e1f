"""People by a top-down network: the crop of every box is run and decoded, and all are scored as usual."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from supernet.data.dataset import PoseDataset
from supernet.data.records import FloatArray
from supernet.errors import InputError
from supernet.files import read_json
from supernet.pose.people import Floats
from supernet.pose.people import People
from supernet.pose.preprocess import normalise
from supernet.pose.results import read_detections
from supernet.pose.results import to_coco_results
from supernet.pose.scoring import score
from supernet.progress import ProgressBar

from .person_crops import crop_of_box
from .person_crops import decode_crop
from .person_crops import warp_crop
from .runtime import Run
from .topdown_options import TRUTH

# Per image its boxes (P, 4) x, y, width, height and their scores (P,).
Boxes = list[tuple[FloatArray, FloatArray]]


def open_boxes(source: str, dataset: PoseDataset) -> Boxes:
    """`truth`, or those of a file of COCO keypoint results; one entry per image of the whole `dataset`.

    Raises:
        InputError: see `predicted_boxes`.
    """
    return true_boxes(dataset) if source == TRUTH else predicted_boxes(source, dataset)


def boxes_digest(boxes: Boxes) -> str:
    """SHA-256 over the boxes and scores of all images."""
    digest = hashlib.sha256()
    for values, scores in boxes:
        for array in (values, scores):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, np.float64).tobytes())
    return digest.hexdigest()


def true_boxes(dataset: PoseDataset) -> Boxes:
    """The ground truth's boxes of people, crowds left out, all of score 1."""
    found = []
    for record in dataset.records:
        boxes = record.boxes[~record.crowd.astype(bool)]
        found.append((boxes, np.ones(len(boxes))))
    return found


def predicted_boxes(path: str | Path, dataset: PoseDataset) -> Boxes:
    """Boxes around the joints that another network found, from its COCO keypoint results.

    Raises:
        InputError: the file is missing, or is no list of results for these images.
    """
    found = read_json(path, "detections")
    try:
        detections = read_detections(found, dataset.ground_truth(), dataset.skeleton)
    except InputError as error:
        raise InputError(f"topdown.boxes={path}: {error}") from None
    by_image: dict[int, list[tuple[FloatArray, float]]] = {}
    for item in detections:
        joints = np.asarray(item["keypoints"]).reshape(-1, 3)
        placed = joints[joints[:, 2] > 0, :2]
        if len(placed):
            low, high = placed.min(axis=0), placed.max(axis=0)
            entry = (np.concatenate([low, high - low]), float(item["score"]))
            by_image.setdefault(item["image_id"], []).append(entry)
    boxes = []
    for record in dataset.records:
        here = by_image.get(record.image_id, [])
        stacked = np.array([box for box, _ in here]).reshape(-1, 4)
        boxes.append((stacked, np.array([value for _, value in here])))
    return boxes


def find_people(
    run: Run, dataset: PoseDataset, boxes: Boxes, shape: tuple[int, int], flip: bool, batch_size: int = 16
) -> list[People]:
    """One `People` per image, in the order of `boxes`; a person's score is its box's times its joints' mean.

    Args:
        run: (B, 3, H, W) normalised crops to [(B, J, H/4, W/4) heatmaps].
        dataset: the images.
        boxes: per image.
        shape: (height, width) of the crops.
        flip: average with the mirrored crop.
        batch_size: crops that run together.
    """
    found = []
    with ProgressBar("images", len(dataset)) as bar:
        for index, (image_boxes, scores) in enumerate(boxes):
            image = dataset.read_image(index)
            crops = [crop_of_box(box, shape) for box in image_boxes]
            poses: list[Floats] = []
            for start in range(0, len(crops), batch_size):
                part = crops[start : start + batch_size]
                pixels = normalise([warp_crop(image, crop, shape) for crop in part])
                heats_bjhw = heatmaps(run, pixels, dataset.skeleton.flip if flip else None)
                poses += [decode_crop(heats, crop) for heats, crop in zip(heats_bjhw, part, strict=True)]
            found.append(_people(poses, scores, dataset.skeleton.num_joints))
            bar.update(index + 1)
    return found


def heatmaps(run: Run, images: Floats, mirror: tuple[int, ...] | None) -> Floats:
    """(B, J, H/4, W/4) heatmaps of crops, averaged with those of their mirror images if `mirror` is given."""
    (heats_bjhw,) = run(images)
    if mirror is None:
        return heats_bjhw
    (mirrored,) = run(np.ascontiguousarray(images[..., ::-1]))
    averaged: Floats = (heats_bjhw + mirrored[:, list(mirror), :, ::-1]) / 2
    return averaged


def _people(poses: Sequence[Floats], box_scores: FloatArray, joints: int) -> People:
    keypoints = np.array(poses, np.float32).reshape(-1, joints, 3)
    scores = (box_scores * keypoints[..., 2].mean(axis=1)).astype(np.float32)
    return People(keypoints, np.zeros((len(scores), 1), np.float32), scores)


def score_people(dataset: PoseDataset, people: Sequence[People]) -> tuple[Mapping[str, float], list[Any]]:
    """The protocol's figures and the detections as COCO keypoint results."""
    detections = to_coco_results(people, [record.image_id for record in dataset.records])
    truth = dataset.ground_truth()
    return score(truth, detections, dataset.protocol, skeleton=dataset.skeleton), detections
