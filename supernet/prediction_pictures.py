"""Validation images with the predicted skeletons, kept per subnet and step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .data.dataset import PoseDataset
from .run_log import RunLog

# Drawn people have at least this score.
THRESHOLD = 0.1


def draw_predictions(
    folder: Path,
    log: RunLog,
    count: int,
    name: str,
    step: int,
    dataset: PoseDataset,
    detections: list[dict[str, Any]],
) -> Path | None:
    """Write `<folder>/<name>-<step>.png`: the first `count` images with what was found in them.

    Args:
        folder: where pictures go.
        log: told about the picture.
        count: images in the picture.
        name: of the subnet.
        step: steps done.
        dataset: the images.
        detections: COCO keypoint results.
    """
    return None
