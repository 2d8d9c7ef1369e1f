"""A diagnosis as a picture."""

from __future__ import annotations

import os
from pathlib import Path

from .diagnosis import JOINT_TYPES, Diagnosis

COLOURS = {
    "good": "#4c9f70",
    "jitter": "#f2c14e",
    "inversion": "#5f7adb",
    "swap": "#b565c4",
    "miss": "#c8473d",
    "score": "#8a8d91",
    "background": "#4d5156",
}


def plot_diagnosis(diagnosis: Diagnosis, path: str | os.PathLike[str], title: str = "") -> None:
    """Write a picture (.png, .svg, .pdf): error shares per joint, and the AP that each kind of error costs.

    Raises:
        OSError: it cannot be written there.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from ..runs.files import atomic_path

    figure = Figure(figsize=(11, 0.3 * len(diagnosis.joints) + 2), layout="constrained")
    FigureCanvasAgg(figure)
    shares, gains = figure.subplots(1, 2, width_ratios=(3, 2))
    total = diagnosis.counts.sum(axis=1).clip(min=1)
    left = 0 * total
    names = [name.replace("_", " ") for name in diagnosis.joints]
    for kind, counts in zip(JOINT_TYPES, diagnosis.counts.T, strict=True):
        width = 100 * counts / total
        shares.barh(names, width, left=left, color=COLOURS[kind], label=kind)
        left = left + width
    shares.invert_yaxis()
    shares.set(xlim=(0, 100), xlabel="share of labelled joints of matched people (%)")
    shares.legend(loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=len(JOINT_TYPES), frameon=False)
    base = diagnosis.figures["as it is"]
    kinds = [kind for kind in diagnosis.figures if kind != "as it is"]
    bars = gains.barh(
        kinds, [diagnosis.figures[kind] - base for kind in kinds], color=[COLOURS[kind] for kind in kinds]
    )
    gains.bar_label(bars, fmt="%+.3f", padding=3)
    gains.margins(x=0.18)
    gains.axvline(0, color="black", linewidth=0.8)
    gains.invert_yaxis()
    gains.set(xlabel=f"AP gained without it (AP is {base:.3f})")
    for axes in (shares, gains):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    with atomic_path(Path(path)) as temporary:
        figure.savefig(temporary, dpi=120)
