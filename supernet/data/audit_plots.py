"""Pictures of a data set: how crowded its images are, and which joints are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files import atomic_path
from .statistics import CROWD_BOUNDS
from .statistics import JointStatistics
from .statistics import crowd_levels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EASY, _MEDIUM, _HARD = "#4c9f70", "#e0a030", "#c44e52"
_VISIBLE, _OCCLUDED = "#3b6ea5", "#a9c4de"


def draw_crowd_index(indices: Sequence[float], name: str, path: Path) -> None:
    """Write a histogram of the crowd index to the PNG `path`, coloured by the protocol's levels.

    The last bar takes all images beyond it: the index has no upper bound.
    """
    width, last = 0.05, 1.5
    edges = np.arange(0, last + width / 2, width)
    # Indices have two decimals; the shift keeps one that lies on an edge out of the bin to its left.
    counts, _ = np.histogram(np.minimum(np.asarray(indices) + 1e-9, last - width / 2), edges)
    levels = np.searchsorted(CROWD_BOUNDS, edges[:-1] + width / 2)
    figure = _figure(7.0, 3.6)
    axes = figure.subplots()
    for level, (label, number) in enumerate(crowd_levels(list(indices)).items()):
        chosen = levels == level
        colour = (_EASY, _MEDIUM, _HARD)[level]
        text = f"{label}: {number} images"
        axes.bar(edges[:-1][chosen], counts[chosen], width, align="edge", color=colour, label=text)
    axes.set(xlabel="crowd index", ylabel="images", xlim=(0, last))
    ticks = np.arange(0, last + 0.1, 0.25)
    axes.set_xticks(ticks, [*(f"{tick:g}" for tick in ticks[:-1]), f"≥{last - width:g}"])
    axes.set_title(f"{name}: crowd index of {len(indices)} images", loc="left")
    axes.legend(frameon=False)
    _save(figure, path)


def draw_joints(joints: Sequence[JointStatistics], name: str, path: Path) -> None:
    """Write a bar per joint, visible and occluded, to the PNG `path`."""
    figure = _figure(7.0, 1.0 + 0.24 * len(joints))
    axes = figure.subplots()
    rows = np.arange(len(joints))
    visible = np.array([joint.visible for joint in joints])
    occluded = np.array([joint.occluded for joint in joints])
    axes.barh(rows, visible, color=_VISIBLE, label="visible (v = 2)")
    axes.barh(rows, occluded, left=visible, color=_OCCLUDED, label="occluded (v = 1)")
    for row, joint in enumerate(joints):
        axes.annotate(
            f"{joint.share:.0%}", (visible[row] + occluded[row], row), (4, 0),
            textcoords="offset points", va="center", fontsize=8,
        )  # fmt: skip
    axes.set_yticks(rows, [joint.name.replace("_", " ") for joint in joints])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(1, int((visible + occluded).max())))
    axes.set_xlabel("people with the joint labelled (and their share of all labelled people)")
    axes.set_title(f"{name}: labelled joints", loc="left")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0.62, 1.14), ncols=2, fontsize=8)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=130, layout="constrained")
    return figure


def _save(figure: Figure, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
