"""`python -m subnets.evaluate`: score networks on a data set, side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.cli import launch
from supernet.data.source import DataConfig
from supernet.errors import InputError
from supernet.options import CommandOptions, EvaluationOptions, threads_option
from supernet.runs.folders import WHEREABOUTS, hold_run_folder

from ..console import SourceOptions, as_list, distinct_slugs, register_slug

if TYPE_CHECKING:
    from supernet.data.dataset import PoseDataset
    from supernet.pose.diagnosis import Diagnosis

    from ..source import Opened
    from .report import NetScore

# What the weights and the annotations are is compared with each score.
VOLATILE = (*WHEREABOUTS, "evaluation.memory", "weights", "supernet", "skeleton")


@dataclass
class EvaluateCommand(SourceOptions, CommandOptions):
    """Settings of the command.

    Attributes:
        arch: one or several networks: folders, RUN:budget, .onnx files, or names with weights= or supernet=.
        name: of the evaluation; its folder is runs/evaluate/<name>.
        split: train, val or test.
        runtime: torch; onnxruntime, openvino, torch.export, litert or executorch for a folder's file of
            theirs; or auto (torch, but for a file the one that runs it).
        threads: of the runtime; null leaves it to it.
        data: what to evaluate on.
        scorer: auto (crowdposetools where it is there and runs, else faster-coco-eval: the same metrics), or
            one of crowdposetools, faster-coco-eval, pycocotools (COCO only).
        oks_nms: leave out people whose OKS with a better one exceeds this (0..1); null keeps all.
        evaluation: flip and multi-scale test, number of images.
    """

    arch: Any = "???"
    name: str = "default"
    split: str = "test"
    runtime: str = "auto"
    threads: int | None = threads_option(None)
    data: DataConfig = field(default_factory=DataConfig)
    scorer: str = "auto"
    oks_nms: float | None = None
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)


def main() -> None:
    """Run the command."""
    register_slug()
    launch("evaluate", EvaluateCommand, run)


def run(config: EvaluateCommand, folder: Path) -> None:
    """Score every network that is not scored in `folder` yet; then tables, CSV and plot of all."""
    from supernet.data.source import open_split
    from supernet.evaluation import scored_part
    from supernet.pose.grouping import MATCHING, DecodeOptions
    from supernet.pose.protocols import PROTOCOLS

    from ..console import open_console
    from ..runtime import check_joints
    from ..source import open_source
    from .report import tables, write_report

    archs = as_list(config.arch, "arch")
    names = distinct_slugs(archs)
    opened = {
        name: open_source(arch, config).require_trained() for name, arch in zip(names, archs, strict=True)
    }
    for network in opened.values():
        check_joints(network, config.data)
    dataset = open_split(config.data, config.split)
    DecodeOptions(oks_nms=config.oks_nms, matching=config.evaluation.matching or MATCHING)
    PROTOCOLS.get(dataset.protocol).usable(config.scorer, dataset.skeleton)
    dataset = scored_part(dataset, config.evaluation.images)  # once for all networks
    console = open_console()
    with hold_run_folder(folder, config, VOLATILE) as again:
        scores = [_scored(config, folder, dataset, name, network) for name, network in opened.items()]
        write_report(folder, scores)
    if again:
        console.print(f"{folder} was started before; what it had was reused")
    for table in tables(scores, f"{dataset.name}, {scores[0].images} images"):
        console.print(table)
    if scores[0].skipped:
        console.print(f"{len(scores[0].skipped)} records were left out; results.json lists them")
    console.print(f"results: {folder / 'results.json'}", soft_wrap=True)


def _scored(
    config: EvaluateCommand, folder: Path, dataset: PoseDataset, name: str, opened: Opened
) -> NetScore:
    """The score of one network, from its file if there is one."""
    from supernet.pose.diagnosis import plot_diagnosis
    from supernet.runs.files import read_json, write_json

    from ..runtime import digest_of
    from .report import NetScore

    path = folder / "networks" / f"{name}.json"
    if path.exists():
        score = NetScore.from_dict(read_json(path, "score"), str(path))
        mine = {"weights": digest_of(opened, config.runtime), "annotations": dataset.fingerprint()}
        for what, digest in mine.items():
            if score.environment.get(f"{what}_sha256") != digest:
                raise InputError(
                    f"{path} is the score of other {what} than {name} has now; choose another name=..."
                )
        return score
    score, detections, diagnosis = evaluate(config, dataset, name, opened)
    write_json(folder / "detections" / f"{name}.json", detections, indent=None)
    plot_diagnosis(diagnosis, folder / "diagnosis" / f"{name}.png", name)
    write_json(path, score.to_dict())
    return score


def evaluate(
    config: EvaluateCommand, dataset: PoseDataset, name: str, opened: Opened
) -> tuple[NetScore, list[dict[str, Any]], Diagnosis]:
    """Score one network.

    Returns:
        the score, the detections as COCO keypoint results, and what is wrong with them.

    Raises:
        InputError: the runtime is missing, or the graph ends in peaks or people, which flip and multi-scale
        tests cannot merge.
    """
    from supernet.evaluation import Evaluator, scores_by_source
    from supernet.heads.contract import graph_head
    from supernet.pose.diagnosis import diagnose
    from supernet.pose.grouping import DecodeOptions

    from ..runtime import digest_of, fitting_options, manifest_of, run_of, runtime_of
    from .report import net_score

    manifest = manifest_of(opened, config.runtime)
    head = graph_head(opened.head, bool(manifest.peaks))
    options = fitting_options(config.evaluation, manifest)
    decode = DecodeOptions(oks_nms=config.oks_nms, matching=opened.matching)
    evaluator = Evaluator(dataset, options, config.scorer, decode)
    run = run_of(opened, config.runtime, config.threads)
    result = evaluator(run, opened.arch.resolution, head)
    environment = {
        "data": dataset.name,
        "split": config.split,
        "runtime": runtime_of(opened, config.runtime),
        "weights_sha256": digest_of(opened, config.runtime),
        "annotations_sha256": dataset.fingerprint(),
        "threads": config.threads,
        "scorer": config.scorer,
        "oks_nms": config.oks_nms,
        "matching": options.matching or opened.matching,
        "evaluation": asdict(config.evaluation),
        "arch": opened.about.get("source") or opened.name,
    }
    diagnosis = diagnose(evaluator.ground_truth, result.detections, dataset.protocol, dataset.skeleton)
    scored = evaluator.dataset
    score = net_score(
        name,
        opened.arch,
        result,
        evaluator.passes,
        diagnosis,
        len(scored),
        environment,
        scored.skipped,
        scores_by_source(scored, result.detections, config.scorer),
    )
    return score, result.detections, diagnosis


if __name__ == "__main__":
    main()
