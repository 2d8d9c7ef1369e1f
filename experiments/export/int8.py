"""What INT8 costs in AP: an exported network's fp32, levelled and INT8 files on a whole test split.

    python experiments/export/int8.py runs/search/demo:p30 runs/search/demo:p85
    python -m experiments.export.int8 photographs:large --photographs /data/real

Exports each network, levels and quantises it on 128 training images, scores every file in onnxruntime, and
gives the difference to fp32 with a paired bootstrap interval over images. Photographs are scored by the 12
joints that all of them have. Writes int8.json beside itself after every network; what it holds is not
measured again without `--again`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from subnets.console import SourceOptions, slug
from subnets.export.exporting import make_job, write_formats
from subnets.export.options import INT8_EXTENTS, ExportCommand, ExportOptions
from subnets.export.quantise import quantise
from subnets.runtime import open_runtime
from subnets.source import open_source
from supernet.cost import count_macs
from supernet.data.source import DataConfig, data_from, open_split
from supernet.evaluation import Evaluator
from supernet.options import EvaluationOptions
from supernet.pose import bootstrap_ap
from supernet.registry import conf_folder
from supernet.runs.environment import environment
from supernet.runs.files import read_json, read_yaml, write_json

RECORD = Path(__file__).resolve().parent / "int8.json"
SAMPLES = 500
UNLEVELLED = "tensor, not levelled"


def main() -> None:
    """Measure the networks that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="+", help="networks with weights of their own")
    parser.add_argument("--supernet", help="training run of which they are subnets")
    parser.add_argument("--photographs", help="folder of photographs, instead of rendered scenes")
    parser.add_argument("--again", action="store_true", help="measure what the record holds, too")
    options = parser.parse_args()
    data = DataConfig(root=options.photographs) if options.photographs else synthetic_data()
    dataset = open_split(data, "test")
    if options.photographs:
        from experiments.photographs.score import common_joints

        dataset = common_joints(dataset)
    evaluator = Evaluator(dataset, EvaluationOptions(batch_size=1))
    record = read_json(RECORD) if RECORD.exists() else {"environment": environment(1), "networks": []}
    if options.again:
        anew = [slug(name) for name in options.networks]
        record["networks"] = [row for row in record["networks"] if row["network"] not in anew]
    for name in options.networks:
        if slug(name) not in [row["network"] for row in record["networks"]]:
            record["networks"].append(compare(name, options.supernet, data, evaluator))
            write_json(RECORD, record)


def synthetic_data() -> DataConfig:
    """The data set of the embedded default, as `conf/data/synthetic.yaml` describes it."""
    return data_from(read_yaml(conf_folder("data") / "synthetic.yaml"))


def compare(name: str, supernet: str | None, data: DataConfig, evaluator: Evaluator) -> dict[str, Any]:
    """The row of one network."""
    opened = open_source(name, SourceOptions(supernet=supernet)).require_trained()
    resolution = opened.arch.resolution
    row: dict[str, Any] = {
        "network": slug(name),
        "resolution": resolution,
        "MMACs": round(count_macs(opened.arch, opened.skeleton.num_joints) / 1e6, 1),
        "images": len(evaluator.dataset),
        "files": {},
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        config = ExportCommand(arch=name, export=ExportOptions(), data=data)
        job = make_job(config, opened, Path(folder))
        levelled, *_ = write_formats(job, ("levelled", "onnx"), config.export)
        row["levelling"] = levelled.notes[0]
        plain, images = job.folder / "model.onnx", job.calibration()
        sources = dict.fromkeys(INT8_EXTENTS, job.folder / levelled.file) | {UNLEVELLED: plain}
        files = {"fp32": plain, "levelled": job.folder / levelled.file}
        files |= {kind: job.folder / f"{kind}.onnx" for kind in sources}
        for kind, path in files.items():
            if kind in sources:
                extent = kind.partition(",")[0]
                quantise(sources[kind], path, images, job.manifest, extent)
            result = evaluator(open_runtime(path, "onnxruntime", 1), resolution, opened.head)
            found[kind] = result.detections
            row["files"][kind] = {
                "AP": round(100 * result.stats["AP"], 2),
                "MB": round(path.stat().st_size / 1e6, 3),
            }
            print(name, kind, row["files"][kind], flush=True)
    bootstrap = bootstrap_ap(evaluator.ground_truth, found, samples=SAMPLES)
    for kind in [kind for kind in found if kind != "fp32"]:
        change = bootstrap.differences["fp32", kind]
        interval = [round(100 * value, 2) for value in (change.value, change.low, change.high)]
        row["files"][kind]["difference"] = interval
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()
