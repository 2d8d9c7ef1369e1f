"""What INT8 costs in AP: fp32 and INT8 ONNX files of trained networks on the whole synthetic test split.

    python experiments/export/int8.py runs/search/demo:p30 runs/search/demo:p85

Exports each network (batch norms folded), quantises it on training images, scores both files in
onnxruntime, and gives the difference with a paired bootstrap interval over images. Writes int8.json beside
itself.
"""

from __future__ import annotations

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from subnets.export_options import ExportCommand
from subnets.export_options import ExportOptions
from subnets.exporting import calibration_images
from subnets.exporting import make_job
from subnets.formats import write_int8
from subnets.formats import write_onnx
from subnets.naming import slug
from subnets.runtime import open_runtime
from subnets.source import open_source
from subnets.timing import conditions
from subnets.timing import interleave
from supernet.data.render_options import SyntheticOptions
from supernet.data.source import DataConfig
from supernet.data.source import open_split
from supernet.evaluation import Evaluator
from supernet.evaluation_options import EvaluationOptions
from supernet.files import read_yaml
from supernet.pose import bootstrap_ap

HERE = Path(__file__).resolve().parent
SAMPLES = 500
CALIBRATION = (16, 128)


def main() -> None:
    """Measure the networks named on the command line."""
    data = synthetic_data()
    evaluator = Evaluator(open_split(data, "test"), EvaluationOptions(batch_size=1))
    rows = [row for arch in sys.argv[1:] for row in compare(arch, data, evaluator)]
    record = {"conditions": conditions(1), "images": len(evaluator.dataset), "networks": rows}
    (HERE / "int8.json").write_text(json.dumps(record, indent=1) + "\n")


def synthetic_data() -> DataConfig:
    """The data set of the embedded default, as `conf/data/synthetic.yaml` describes it."""
    from supernet.names import conf_folder

    settings = read_yaml(conf_folder("data") / "synthetic.yaml")
    settings["render"] = SyntheticOptions(**settings.pop("render"))
    return DataConfig(**settings)


def compare(arch: str, data: DataConfig, evaluator: Evaluator) -> list[dict[str, Any]]:
    """One network: a row for each number of calibration images."""
    opened = open_source(arch).require_trained()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for images in CALIBRATION:
            options = ExportOptions(calibration_images=images)
            config = ExportCommand(arch=arch, export=options, data=data)
            job = make_job(config, opened, Path(folder))
            files = [Path(folder) / write(job).file for write in (write_onnx, write_int8)]
            runs = dict(
                zip(("fp32", "int8"), (open_runtime(file, "onnxruntime", 1) for file in files), strict=True)
            )
            results = {name: evaluator(run, opened.arch.resolution) for name, run in runs.items()}
            found = {name: result.detections for name, result in results.items()}
            interval = bootstrap_ap(evaluator.ground_truth, found, samples=SAMPLES).differences[
                "fp32", "int8"
            ]
            (image,) = calibration_images(data, job.manifest, ExportOptions(calibration_images=1))
            timings = interleave({name: partial(run, image) for name, run in runs.items()}, rounds=100)
            rows.append(
                {
                    "network": slug(arch),
                    "calibration images": images,
                    "AP fp32": round(results["fp32"].stats["AP"], 4),
                    "AP int8": round(results["int8"].stats["AP"], 4),
                    "difference": [
                        round(value, 4) for value in (interval.value, interval.low, interval.high)
                    ],
                    "MB": [round(file.stat().st_size / 1e6, 3) for file in files],
                    "median ms, one thread": [round(timing.median, 2) for timing in timings],
                    "fastest ms": [round(timing.best, 2) for timing in timings],
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


if __name__ == "__main__":
    main()
