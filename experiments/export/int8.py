"""What INT8 costs in AP: fp32 and INT8 ONNX files of trained networks on the whole synthetic test split.

    python experiments/export/int8.py --supernet runs/train/demo --random 3

Takes the largest, the smallest and some random subnets of a trained supernet; with `--archs` folders or
RUN:budget instead. Exports each (batch norms folded), quantises it on training images, scores both files in
onnxruntime, and gives the difference with a paired bootstrap interval over images. Writes int8.json beside
itself after every row; what it holds is not measured again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from subnets.console import SourceOptions, slug
from subnets.export.exporting import make_job, write_formats
from subnets.export.options import ExportCommand, ExportOptions
from subnets.runtime import open_runtime
from subnets.source import open_source
from supernet import SearchSpace
from supernet.cost import count_macs
from supernet.data.source import DataConfig, open_split
from supernet.data.synthetic.options import SyntheticOptions
from supernet.evaluation import Evaluator
from supernet.options import EvaluationOptions
from supernet.pose import bootstrap_ap
from supernet.runs.environment import environment
from supernet.runs.files import read_json, read_yaml, write_json

RECORD = Path(__file__).resolve().parent / "int8.json"
SAMPLES = 500
CALIBRATION = (16, 128)


def main() -> None:
    """Measure the networks that the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--supernet", help="training run whose subnets to take")
    parser.add_argument("--random", type=int, default=3, help="random subnets besides largest, smallest")
    parser.add_argument("--archs", nargs="*", default=[], help="networks with weights of their own")
    options = parser.parse_args()
    data = synthetic_data()
    evaluator = Evaluator(open_split(data, "test"), EvaluationOptions(batch_size=1))
    record = read_json(RECORD) if RECORD.exists() else {"environment": environment(1), "networks": []}
    record["images"] = len(evaluator.dataset)
    with tempfile.TemporaryDirectory() as folder:
        archs = list(options.archs)
        if options.supernet:
            archs += ["largest", "smallest", *random_archs(options.supernet, options.random, Path(folder))]
        for arch in archs:
            done = [row["calibration images"] for row in record["networks"] if row["network"] == slug(arch)]
            for images in sorted(set(CALIBRATION) - set(done)):
                record["networks"].append(compare(arch, options.supernet, images, data, evaluator))
                write_json(RECORD, record)


def random_archs(supernet: str, count: int, folder: Path) -> list[str]:
    """Architecture files of random members of the supernet's space."""
    space, rng = SearchSpace.load(f"{supernet}/space.yaml"), np.random.default_rng(7)
    paths = [folder / f"random-{number}.yaml" for number in range(count)]
    for path in paths:
        space.sample(rng).save(path)
    return [str(path) for path in paths]


def synthetic_data() -> DataConfig:
    """The data set of the embedded default, as `conf/data/synthetic.yaml` describes it."""
    from supernet.registry import conf_folder

    settings = read_yaml(conf_folder("data") / "synthetic.yaml")
    settings["render"] = SyntheticOptions(**settings.pop("render"))
    return DataConfig(**settings)


def compare(
    arch: str, supernet: str | None, images: int, data: DataConfig, evaluator: Evaluator
) -> dict[str, Any]:
    """The row of one network, INT8 calibrated on so many `images`."""
    opened = open_source(arch, SourceOptions(supernet=supernet)).require_trained()
    with tempfile.TemporaryDirectory() as folder:
        config = ExportCommand(arch=arch, export=ExportOptions(calibration_images=images), data=data)
        job = make_job(config, opened, Path(folder))
        files = [Path(folder) / item.file for item in write_formats(job, ("onnx", "int8"), config.export)]
        results = {
            name: evaluator(open_runtime(file, "onnxruntime", 1), opened.arch.resolution, opened.head)
            for name, file in zip(("fp32", "int8"), files, strict=True)
        }
        sizes = [round(file.stat().st_size / 1e6, 3) for file in files]
    found = {name: result.detections for name, result in results.items()}
    change = bootstrap_ap(evaluator.ground_truth, found, samples=SAMPLES).differences["fp32", "int8"]
    row = {
        "network": slug(arch),
        "resolution": opened.arch.resolution,
        "MMACs": round(count_macs(opened.arch, opened.skeleton.num_joints) / 1e6, 1),
        "calibration images": images,
        "AP fp32": round(results["fp32"].stats["AP"], 4),
        "AP int8": round(results["int8"].stats["AP"], 4),
        "difference": [round(value, 4) for value in (change.value, change.low, change.high)],
        "MB": sizes,
    }
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()
