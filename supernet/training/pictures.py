"""Pictures of a training run: its curves, and validation images with the predicted skeletons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..data.dataset import PoseDataset
from ..data.plan import evenly
from ..pose.drawing import contact_sheet, draw_people
from ..pose.people import People
from ..runs.files import atomic_path, write_bytes
from ..runs.log import LOG, RunLog, logged_metric, read_log

SUBNETS = ("largest", "random", "smallest", "subnet")


def draw_curves(folder: Path) -> Path | None:
    """Draw `curves.png` from the log of the run in `folder`; None when the log is still empty."""
    from matplotlib.figure import Figure

    lines = read_log(folder / LOG)
    training = [line for line in lines if line["kind"] == "train"]
    scores = [line for line in lines if line["kind"] == "validation"]
    if not training:
        return None
    figure = Figure(figsize=(9, 3.4) if scores else (5, 3.4), layout="constrained")
    axes = figure.subplots(1, 2 if scores else 1, squeeze=False)[0]
    for name in SUBNETS:
        key = f"loss/{name}"
        points = [(line["step"], line[key]) for line in training if key in line]
        if points:
            axes[0].plot(*zip(*points, strict=True), label=name, linewidth=1.2)
    axes[0].set(xlabel="step", ylabel="training loss", yscale="log")
    if scores:
        metric = logged_metric(scores[-1])
        # Not those of the single sources of a mix, `AP/<source>/<subnet>`.
        names = [name for name in scores[-1] if name.split("/")[0] == metric and name.count("/") < 2]
        for name in names:
            points = [(line["step"], 100 * line[name]) for line in scores if name in line]
            axes[1].plot(
                *zip(*points, strict=True),
                label=name.removeprefix(f"{metric}/"),
                marker="o",
                markersize=3,
                linewidth=1.2,
            )
        axes[1].set(xlabel="step", ylabel=f"validation {metric} (%)", ylim=(0, None))
    for axis in axes:
        axis.legend(frameon=False, fontsize=8)
        axis.grid(alpha=0.3)
    path = folder / "curves.png"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=130)
    return path


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
    pictures, titles = [], []
    for index in evenly(len(dataset), count):
        record = dataset.records[index]
        people = people_of(record.image_id, detections, dataset.skeleton.num_joints)
        image = dataset.read_image(index)
        pictures.append(draw_people(image, people, dataset.skeleton, MIN_SCORE, MIN_JOINT_SCORE))
        titles.append(f"image {record.image_id}, {record.num_people} people")
    path = folder / f"{name}-{step:09d}.png"
    sheet = contact_sheet(pictures, titles, columns=min(COLUMNS, len(pictures)), cell=CELL)
    # Not `imwrite`, which says nothing of a full disk.
    write_bytes(path, cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())
    log.picture(step, f"predictions/{name}", path)
    return path


def people_of(image_id: int, detections: Sequence[dict[str, Any]], num_joints: int) -> People:
    """The people of one image among COCO keypoint results."""
    own = [found for found in detections if found["image_id"] == image_id]
    keypoints = np.array([found["keypoints"] for found in own], np.float32).reshape(-1, num_joints, 3)
    scores = np.array([found["score"] for found in own], np.float32)
    return People(keypoints, np.zeros((len(own), 1), np.float32), scores)
