"""A complete export: all formats, proof, timings, scores, picture, card and runtime in one new folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from supernet import __version__
from supernet.cost import check_input_shape, scored_macs
from supernet.data.layouts import LAYOUTS
from supernet.data.source import DataConfig, open_split, spread_images
from supernet.errors import InputError
from supernet.evaluation import Evaluator
from supernet.family import step_of
from supernet.heads.contract import Head, graph_head
from supernet.options import EvaluationOptions
from supernet.pose.drawing import contact_sheet, draw_people
from supernet.pose.grouping import DecodeOptions
from supernet.pose.preprocess import padded_shape
from supernet.runs.environment import environment
from supernet.runs.files import new_folder, remove_if_empty, write_bytes, write_json, write_text
from supernet.runs.folders import claim_run_folder

from ..benchmark.timing import Timing, interleave
from ..folder import write_into
from ..network import Network, fused_network, weights_digest
from ..portable.manifest import Manifest
from ..portable.outputs import jpeg
from ..portable.predicting import DRAW_JOINT, DRAW_SCORE
from ..portable.predictor import Predictor, letterbox
from ..portable.session import EXPORT_FILE, file_digest
from ..runtime import check_joints, fitting_options, torch_runtime
from ..source import Opened
from .bundle import RULES_IN_C, write_bundle, write_porting
from .card import PICTURE, Card, SplitScores, Written, card_text
from .formats import (
    FORMATS,
    Floats,
    Format,
    Job,
    Run,
    comparison_shapes,
    ended,
    largest_difference,
    normal_inputs,
    with_needs,
)
from .options import RATIOS, ExportCommand, ExportOptions

CARD_FILE = "card.md"
SCHEMA = 1
# What a search or an evaluation leaves in a network's folder.
INHERITED = {"val": "validation split of the search", "test": "test split"}
PICTURES = 6
CELL = (300, 300)


def export(config: ExportCommand, opened: Opened, formats: Sequence[str], folder: Path) -> list[Written]:
    """Write the export of one network as a new folder; it appears complete or not at all.

    Raises:
        InputError: the folder exists, a format's runtime is missing, or a format does not compute the same.
    """
    remove_if_empty(folder)
    with new_folder(folder) as temporary:
        claim_run_folder(temporary, config)
        job = make_job(config, opened, temporary)
        about = {"name": opened.name, "trained": opened.trained, "matching": job.manifest.matching}
        write_into(job.net, temporary, about)
        written = write_formats(job, formats, config.export)
        timings = measure_latency(job, written, config.export)
        scores = [*inherited_scores(opened.about), *measure_scores(config, opened, job, written)]
        picture = draw_picture(config, opened, job, temporary / PICTURE)
        # A head or a rule of the user's own needs the user's code.
        known = config.export.bundle and job.manifest.matching in RULES_IN_C
        runs = opened.head.portable and any(FORMATS.get(name).bundled for name in formats)
        card = Card(
            manifest=job.manifest,
            arch=opened.arch,
            trained=opened.trained,
            written=written,
            timings=timings,
            environment=environment(config.export.threads),
            scores=scores,
            about={**opened.about, "exported": f"litepose-ofa {__version__}, arch={config.arch}"},
            picture=picture,
            bundle=known and runs,
            porting=known and opened.head.peaks,
        )
        if card.bundle:
            write_bundle(temporary, opened.head)
        if card.porting:
            write_porting(temporary, job.manifest, reference(job.net, job.manifest), config.export.vectors)
        write_text(temporary / CARD_FILE, card_text(card))
        record = _record(opened, written, timings, scores, card.environment)
        for kept, item in zip(record["formats"], written, strict=True):
            if (temporary / item.file).is_file():
                kept["sha256"] = file_digest(temporary / item.file)
        write_json(temporary / EXPORT_FILE, record)
    return written


def make_job(config: ExportCommand, opened: Opened, folder: Path) -> Job:
    """What is exported and how.

    Raises:
        InputError: an input shape that the network cannot take, or a test split of other joints.
    """
    net, options = opened.require_net(), config.export
    peaks = opened.head.ends if options.peaks is None else options.peaks
    if is_scored(config, opened):
        check_joints(opened, config.data)
    if peaks and opened.head.ending(peaks, opened.skeleton) is None:
        raise InputError(f"{opened.name} gives {opened.arch.head_kind} without tags; use export.peaks=0")
    shape = None
    if options.shapes != "dynamic":
        height, width = options.input_shape or opened.arch.input_shape
        if options.shapes in RATIOS:
            height, width = padded_shape(opened.arch.resolution, *RATIOS[options.shapes])
        shape = check_input_shape((height, width), step_of(net.arch))
    matching = DecodeOptions(matching=options.matching or opened.matching).matching
    manifest = replace(opened.describe(), input_shape=shape, peaks=peaks, matching=matching)

    @lru_cache(maxsize=1)
    def calibration() -> list[Floats]:
        return calibration_images(config.data, manifest, options)

    rendered = all(LAYOUTS.get(part.layout).makes for part in config.data.parts())
    told = "rendered scenes" if rendered else "training images"
    return Job(net, fused_network(net), manifest, folder, calibration, options.opset, options.int8, told)


def write_formats(job: Job, names: Sequence[str], options: ExportOptions) -> list[Written]:
    """Write the formats of these `names`, each once, run it and compare it with torch.

    Formats that others need are written as well, and removed in the end where nobody asked for them.

    Raises:
        InputError: a package is missing, a format cannot be written, or it does not compute the same.
    """
    wanted = [FORMATS.get(name) for name in names]
    order = with_needs(wanted)
    chosen = {}
    for item in order:
        item.check(job.manifest)
        chosen[item.name] = item.chosen(options.options.get(item.name, {}))
        item.require(job, chosen[item.name])
    notes = {}
    for item in order:
        path = job.folder / item.file
        path.parent.mkdir(exist_ok=True)
        notes[item.name] = item.write(job, path, chosen[item.name])
    found = [_proved(job, item, notes[item.name], options.tolerance) for item in wanted]
    for item in order:
        if item not in wanted:
            for part in reversed(item.parts(job.folder)):  # what lies in a folder before the folder
                part.rmdir() if part.is_dir() else part.unlink()
            remove_if_empty((job.folder / item.file).parent)
    return found


def _proved(job: Job, item: Format, notes: Sequence[str], tolerance: float) -> Written:
    """Run a written file where its runtime exists, compare it with torch, and describe it.

    Raises:
        InputError: it is to compute what torch computes, and does not.
    """
    path = job.folder / item.file
    difference = None
    if item.runs_here:
        difference, more = _difference(job, item, tolerance)
        notes = (*notes, *more)
    size = sum(each.stat().st_size for each in item.parts(job.folder) if each.is_file())
    told = item.manifest(path) is not None
    return Written(item.name, item.file, size, difference, item.runtime, told, notes)


def _difference(job: Job, item: Format, tolerance: float) -> tuple[float, Sequence[str]]:
    """How far a written file is from torch, and what to say of that.

    Raises:
        InputError: it is to compute what torch computes, and does not.
    """
    run = item.open(job.folder / item.file, None)
    if not item.calibrated:
        difference = difference_from_torch(job, run)
        if item.precision == "fp32" and not difference <= tolerance:
            raise InputError(
                f"{item.name} in {item.runtime} differs from torch by {difference:.1e} of the largest output "
                f"(allowed {tolerance:.0e}); nothing was written"
            )
        return difference, ()
    images = job.calibration()[:8]
    difference = largest_difference(run, torch_runtime(job.net), images)
    return difference, [f"difference on {len(images)} {job.calibrated_on}"]


def reference(net: Network, manifest: Manifest) -> Run:
    """The network in torch, up to the end that its manifest asks for."""
    return torch_runtime(ended(net, manifest))


def difference_from_torch(job: Job, run: Run) -> float:
    """Largest difference between `run` and the network in torch on square and other inputs."""
    inputs = normal_inputs(comparison_shapes(job.manifest.resolution, job.manifest.input_shape))
    return largest_difference(run, reference(job.net, job.manifest), inputs, bool(job.manifest.peaks))


def calibration_images(data: DataConfig, manifest: Manifest, options: ExportOptions) -> list[Floats]:
    """Images evenly spread over the training split, prepared as for inference."""
    from supernet.pose.preprocess import normalise, preprocess

    shape, found = manifest.input_shape, []
    for image in spread_images(data, "train", options.calibration_images):
        view = preprocess(image, manifest.resolution) if shape is None else letterbox(image, shape)
        found.append(normalise([view.pixels]))
    return found


def measure_latency(job: Job, written: Sequence[Written], options: ExportOptions) -> list[Timing]:
    """Torch and every written format on one image, interleaved."""
    if not options.latency_rounds:
        return []
    shape = job.manifest.input_shape or job.net.arch.input_shape
    (images,) = normal_inputs([(1, 3, *shape)])
    runs: dict[str, Run] = {"torch": torch_runtime(job.fused, options.threads)}
    runs |= {
        f"{w.runtime} ({w.format})": FORMATS.get(w.format).open(job.folder / w.file, options.threads)
        for w in written
        if w.difference is not None
    }
    calls = {name: partial(run, images) for name, run in runs.items()}
    return interleave(calls, options.latency_rounds, lead_in=1)


def inherited_scores(about: Mapping[str, Any]) -> list[SplitScores]:
    """The scores that the network brings along."""
    found, macs = [], about.get("scored_macs")
    for key, what in INHERITED.items():
        stats = about.get(key)
        if isinstance(stats, Mapping) and isinstance(next(iter(stats.values()), None), int | float):
            found.append(
                SplitScores("as it came (torch)", what, "as recorded there", macs, None, dict(stats))
            )
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
    of_files = graph_head(opened.head, bool(job.manifest.peaks))
    runs: dict[str, tuple[Run, Head]] = {"fp32 (torch)": (torch_runtime(job.net), opened.head)}
    for item in written:
        if item.difference is None:
            continue
        form = FORMATS.get(item.format)
        label = form.precision if form.precision == "fp32" else form.precision.upper()
        runs[f"{label} ({item.runtime})"] = form.open(job.folder / item.file, None), of_files
    data = f"{config.data.described()}: {evaluator.described}"
    told = evaluator.passes.told(), scored_macs(opened.arch, evaluator.passes, job.net.num_joints)
    found = []
    for name, (run, head) in runs.items():
        scored = evaluator(run, opened.arch.resolution, head)
        decoding = 1000 * scored.decoding / len(evaluator.dataset)
        found.append(SplitScores(name, data, *told, decoding, scored.stats))
    return found


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


def _record(
    opened: Opened,
    written: Sequence[Written],
    timings: Sequence[Timing],
    scores: Sequence[SplitScores],
    where: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "name": opened.name,
        "weights_sha256": weights_digest(opened.require_net()),
        "formats": [w.to_dict() for w in written],
        "latency": {"environment": dict(where), "milliseconds": [timing.to_dict() for timing in timings]},
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
    known = record.get("weights_sha256") if isinstance(record, dict) else None
    if known != weights_digest(opened.require_net()):
        raise InputError(
            f"{folder} was exported from other weights; choose another name=..., or remove the folder"
        )
    return True
