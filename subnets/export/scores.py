"""Scores and picture for an export's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from supernet.cost import scored_macs
from supernet.data.source import open_split
from supernet.evaluation import Evaluator
from supernet.heads.contract import Head, graph_head
from supernet.options import EvaluationOptions
from supernet.pose.drawing import contact_sheet, draw_people
from supernet.pose.grouping import DecodeOptions
from supernet.runs.files import write_bytes

from ..portable.outputs import jpeg
from ..portable.predicting import DRAW_JOINT, DRAW_SCORE
from ..portable.predictor import Predictor
from ..runtime import fitting_options, torch_runtime
from ..source import Opened
from .card import SplitScores, Written
from .formats import FORMATS, Job, Run
from .options import ExportCommand

# What a search or an evaluation leaves in a network's folder.
INHERITED = {"val": "validation split of the search", "test": "test split"}
PICTURES = 6
CELL = (300, 300)


def inherited_scores(about: Mapping[str, Any]) -> list[SplitScores]:
    """The scores that the network brings along."""
    found, macs = [], about.get("scored_macs")
    for key, what in INHERITED.items():
        stats = about.get(key)
        if isinstance(stats, Mapping) and isinstance(next(iter(stats.values()), None), int | float):
            found.append(SplitScores("as it came (torch)", what, "as recorded there", macs, dict(stats)))
    return found


def is_scored(config: ExportCommand, opened: Opened) -> bool:
    """Whether `measure_scores` will open the test split."""
    return config.export.score_images != 0 and opened.trained and opened.head.finds_people


def measure_scores(
    config: ExportCommand, opened: Opened, job: Job, written: Sequence[Written]
) -> list[SplitScores]:
    """Torch, from its maps, and the written formats on the test split, if `export.score_images` asks."""
    if not is_scored(config, opened):
        return []
    dataset = open_split(config.data, "test")
    options = EvaluationOptions(images=config.export.score_images, batch_size=1)
    fitting = fitting_options(options, job.manifest)
    evaluator = Evaluator(dataset, fitting, decode=DecodeOptions(matching=job.manifest.matching))
    ended = graph_head(opened.head, bool(job.manifest.peaks))
    runs: dict[str, tuple[Run, Head]] = {"fp32 (torch)": (torch_runtime(job.net), opened.head)}
    for item in written:
        form = FORMATS.get(item.format)
        label = form.precision if form.precision == "fp32" else form.precision.upper()
        runs[f"{label} ({item.runtime})"] = form.open(job.folder / item.file, None), ended
    data = f"{config.data.described()}: {evaluator.described}"
    told = evaluator.passes.told(), scored_macs(opened.arch, evaluator.passes, job.net.num_joints)
    return [
        SplitScores(name, data, *told, evaluator(run, opened.arch.resolution, head).stats)
        for name, (run, head) in runs.items()
    ]


def draw_picture(config: ExportCommand, opened: Opened, job: Job, path: Path) -> bool:
    """A sheet of test images with the people that the network finds; False without trained weights or data
    there.

    A data set is not rendered or fetched for a picture.
    """
    if not opened.trained or not all(root.exists() for root in config.data.roots()):
        return False
    dataset = open_split(config.data, "test")
    if opened.skeleton.joints != dataset.skeleton.joints or not len(dataset):
        return False
    predictor = Predictor.of(torch_runtime(job.net), replace(job.manifest, input_shape=None, peaks=0))
    crowded = sorted(range(len(dataset)), key=lambda index: -dataset.records[index].num_people)
    step = max(1, len(crowded) // PICTURES)
    drawn = []
    for index in crowded[::step][:PICTURES]:
        image = dataset.read_image(index)
        drawn.append(draw_people(image, predictor(image), opened.skeleton, DRAW_SCORE, DRAW_JOINT))
    write_bytes(path, jpeg(contact_sheet(drawn, columns=3, cell=CELL), path.name))
    return True
