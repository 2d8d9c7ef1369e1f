"""Validation images with the predicted skeletons, one picture per subnet and validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .data.dataset import PoseDataset
from .files import atomic_path
from .pose.drawing import draw_people
from .pose.overlays import contact_sheet
from .pose.people import People
from .run_log import RunLog

# People and joints below these are not drawn.
MIN_SCORE = 0.15
MIN_JOINT_SCORE = 0.1
COLUMNS = 4
CELL = (280, 280)


def draw_predictions(
    folder: Path,
    log: RunLog,
    count: int,
    name: str,
    step: int,
    dataset: PoseDataset,
    detections: Sequence[dict[str, Any]],
) -> Path:
    """Write `<folder>/<name>-<step>.png`: images spread over `dataset` with what was found in them.

    Args:
        folder: where pictures go.
        log: told about the picture.
        count: images in the picture (>= 1).
        name: of the subnet.
        step: steps done.
        dataset: the images.
        detections: COCO keypoint results.
    """
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()
    pictures, titles = [], []
    for index in indices:
        record = dataset.records[index]
        people = people_of(record.image_id, detections, dataset.skeleton.num_joints)
        image = dataset.read_image(index)
        pictures.append(draw_people(image, people, dataset.skeleton, MIN_SCORE, MIN_JOINT_SCORE))
        titles.append(f"image {record.image_id}, {record.num_people} people")
    path = folder / f"{name}-{step:09d}.png"
    sheet = contact_sheet(pictures, titles, columns=min(COLUMNS, len(pictures)), cell=CELL)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])
    log.picture(step, f"predictions/{name}", path)
    return path


def people_of(image_id: int, detections: Sequence[dict[str, Any]], num_joints: int) -> People:
    """The people of one image among COCO keypoint results."""
    own = [found for found in detections if found["image_id"] == image_id]
    keypoints = np.array([found["keypoints"] for found in own], np.float32).reshape(-1, num_joints, 3)
    scores = np.array([found["score"] for found in own], np.float32)
    return People(keypoints, np.zeros((len(own), 1), np.float32), scores)
