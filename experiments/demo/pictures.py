"""The demo's two pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from supernet.data.plan import evenly
from supernet.evaluation import Evaluator
from supernet.pose.drawing import contact_sheet, draw_people
from supernet.runs.files import atomic_path
from supernet.training.pictures import people_of

SHEET_IMAGES = 12
# Weak people count for AP, but a picture of all of them shows none.
MIN_SCORE, MIN_JOINT = 0.3, 0.2


def accuracy_plot(found: dict[str, Any], rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Left: every candidate on the validation split. Right: chosen and random subnets on the test split."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    val, test = figure.subplots(1, 2)
    candidates = found["candidates"]
    chosen = set(found["chosen"].values())
    groups = (
        ("search", lambda n: n not in chosen, {"color": "#9aa5b1", "s": 16}),
        ("chosen", lambda n: n in chosen, {"color": "#1f5fa8", "s": 80, "marker": "*", "zorder": 3}),
    )
    for label, belongs, style in groups:
        points = [(c["costs"]["macs"] / 1e6, c["stats"]["AP"]) for c in candidates if belongs(c["number"])]
        if points:
            val.scatter(*zip(*points, strict=True), label=label, **style)
    val.set_title(f"search: validation split, {len(candidates)} candidates")
    for index, row in enumerate(rows):
        macs = np.array(row["random_macs"]) / 1e6
        label = "random, within 10% of its MACs" if index == 0 else None
        test.scatter(macs, row["random_AP"], color="#d1782f", s=20, marker="x", label=label)
        low, high = row["AP_interval"]
        spread = [[row["AP"] - low], [high - row["AP"]]]
        label = "chosen, 95% bootstrap" if index == 0 else None
        test.errorbar(
            row["macs"] / 1e6, row["AP"], yerr=spread, fmt="*", ms=11, color="#1f5fa8", capsize=3, label=label
        )
    test.set_title("report: test split")
    for axes in (val, test):
        axes.set_xlabel("exact MACs (millions)")
        axes.set_ylabel("CrowdPose AP")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def prediction_sheet(test: Evaluator, detections: Sequence[dict[str, Any]], path: Path) -> None:
    """Test images spread over the split, predicted skeletons drawn on them."""
    joints = test.dataset.skeleton.num_joints
    pictures, titles = [], []
    for index in evenly(len(test.dataset), SHEET_IMAGES):
        record = test.dataset.records[index]
        people = people_of(record.image_id, detections, joints)
        image = test.dataset.read_image(index)
        pictures.append(draw_people(image, people, test.dataset.skeleton, MIN_SCORE, MIN_JOINT))
        count = "1 person" if record.num_people == 1 else f"{record.num_people} people"
        titles.append(f"{count}, crowd index {record.crowd_index:.2f}")
    sheet = contact_sheet(pictures, titles, columns=4, cell=(240, 240))
    with atomic_path(path) as temporary:
        # A palette makes a third of the file, and the eye sees no difference.
        Image.fromarray(sheet).quantize(256).save(temporary, format="PNG", optimize=True)
