"""A complete export: all formats, proof, timings, scores, picture, card and runtime in one new folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from supernet import __version__
from supernet.data.source import DataConfig, open_split
from supernet.errors import InputError
from supernet.runs.environment import environment
from supernet.runs.files import new_folder, remove_if_empty, write_json, write_text
from supernet.runs.folders import claim_run_folder

from ..benchmark.timing import Timing, interleave
from ..families.descriptions import input_shape_of
from ..families.networks import fused_network, weights_digest
from ..families.static import check_input_shape, step_of
from ..folder import write_into
from ..portable.manifest import Manifest
from ..portable.predictor import letterbox
from ..runtime import Floats, open_runtime, torch_runtime
from ..source import Opened
from .bundle import write_bundle
from .card import PICTURE, CardFacts, Scores, card_text
from .formats import FORMATS, Job, Written, normal_inputs
from .options import ExportCommand, ExportOptions
from .scores import draw_picture, inherited_scores, measure_scores

EXPORT_FILE = "export.json"
CARD_FILE = "card.md"
SCHEMA = 1


def export(config: ExportCommand, opened: Opened, formats: Sequence[str], folder: Path) -> list[Written]:
    """Write the export of one network as a new folder; it appears complete or not at all.

    Raises:
        InputError: the folder exists, a format's runtime is missing, or a format does not compute the same.
    """
    remove_if_empty(folder)
    with new_folder(folder) as temporary:
        claim_run_folder(temporary, config)
        job = make_job(config, opened, temporary)
        write_into(job.net, temporary, {"name": opened.name, "trained": opened.trained})
        written = [FORMATS[name](job) for name in formats]
        timings = measure_latency(job, written, config.export)
        scores = [*inherited_scores(opened.about), *measure_scores(config, opened, job, written)]
        picture = draw_picture(config, opened, temporary / PICTURE)
        facts = CardFacts(
            manifest=job.manifest,
            arch=opened.arch,
            trained=opened.trained,
            written=written,
            timings=timings,
            environment=environment(config.export.threads),
            scores=scores,
            about={**opened.about, "exported": f"litepose-ofa {__version__}, arch={config.arch}"},
            picture=picture,
            bundle=_is_bundled(config, opened, written),
        )
        if facts.bundle:
            write_bundle(temporary)
        write_text(temporary / CARD_FILE, card_text(facts))
        write_json(temporary / EXPORT_FILE, _record(opened, written, timings, scores, facts.environment))
    return written


def _is_bundled(config: ExportCommand, opened: Opened, written: Sequence[Written]) -> bool:
    wanted = config.export.bundle and opened.kind == "embedding"
    return wanted and any(item.format == "onnx" for item in written)


def make_job(config: ExportCommand, opened: Opened, folder: Path) -> Job:
    """What is exported and how.

    Raises:
        InputError: an input shape that the network cannot take.
    """
    net, options = opened.require_net(), config.export
    if options.peaks and opened.kind != "embedding":
        raise InputError(f"{opened.name} gives {opened.kind} without tags; use export.peaks=0")
    shape = None
    if options.shapes == "fixed":
        height, width = options.input_shape or input_shape_of(opened.arch)
        shape = check_input_shape((height, width), step_of(net.arch))
    manifest = Manifest(
        name=opened.name,
        resolution=opened.arch.resolution,
        skeleton=opened.skeleton,
        input_shape=shape,
        peaks=options.peaks,
        kind=opened.kind,
        arch=opened.arch.to_dict(),
        about={**opened.about, "trained": opened.trained},
    )

    @lru_cache(maxsize=1)
    def calibration() -> list[Floats]:
        return calibration_images(config.data, manifest, options)

    return Job(net, fused_network(net), manifest, folder, options.tolerance, calibration)


def calibration_images(data: DataConfig, manifest: Manifest, options: ExportOptions) -> list[Floats]:
    """Images evenly spread over the training split, prepared as for inference."""
    import numpy as np

    from supernet.pose.preprocess import normalise, preprocess

    dataset = open_split(data, "train")
    count = min(options.calibration_images, len(dataset))
    shape = manifest.input_shape
    found = []
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
        image = dataset.read_image(index)
        view = preprocess(image, manifest.resolution) if shape is None else letterbox(image, shape)
        found.append(normalise([view.pixels]))
    return found


def measure_latency(job: Job, written: Sequence[Written], options: ExportOptions) -> list[Timing]:
    """Torch and every written format on one image, interleaved."""
    if not options.latency_rounds:
        return []
    shape = job.manifest.input_shape or input_shape_of(job.net.arch)
    (images,) = normal_inputs([(1, 3, *shape)])
    runs = {"torch": torch_runtime(job.fused, options.threads)}
    runs |= {
        f"{w.runtime} ({w.format})": open_runtime(job.folder / w.file, w.runtime, options.threads)
        for w in written
    }
    calls = {name: partial(run, images) for name, run in runs.items()}
    return interleave(calls, options.latency_rounds, lead_in=1)


def _record(
    opened: Opened,
    written: Sequence[Written],
    timings: Sequence[Timing],
    scores: Sequence[Scores],
    where: Any,
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": opened.name,
        "weights_sha256": weights_digest(opened.require_net()),
        "formats": [
            {
                "format": w.format,
                "file": w.file,
                "bytes": w.size,
                "difference": w.difference,
                "runtime": w.runtime,
            }
            for w in written
        ],
        "latency": {"conditions": dict(where), "milliseconds": [timing.to_dict() for timing in timings]},
        "scores": [{**vars(score), "stats": dict(score.stats)} for score in scores],
    }


def exported_already(config: ExportCommand, folder: Path, opened: Opened) -> bool:
    """Whether `folder` holds just this export.

    Raises:
        InputError: it holds something else, or the export of other weights.
    """
    from supernet.runs.files import read_json
    from supernet.runs.folders import CONFIG_FILE

    if not (folder / CONFIG_FILE).exists():
        return False
    claim_run_folder(folder, config)
    record = read_json(folder / EXPORT_FILE, "export record")
    if record.get("weights_sha256") != weights_digest(opened.require_net()):
        raise InputError(
            f"{folder} was exported from other weights; choose another name=..., or remove the folder"
        )
    return True
