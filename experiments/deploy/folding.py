"""What folding the batch norms costs a network in float32, and what its ONNX file's runtime adds.

    python experiments/deploy/folding.py photographs:small photographs:large

On twelve rendered pictures, the largest difference relative to the largest output: of torch with batch norms,
of torch with folded ones and of onnxruntime, each from torch in double precision; and between the last two.
Rows go to folding.json beside this file.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from subnets.console import SourceOptions
from subnets.export.bundle import rendered
from subnets.export.formats import relative_difference
from subnets.export.onnx_graph import export_onnx
from subnets.network import fused_network
from subnets.portable.predictor import Predictor
from subnets.portable.session import OnnxSession
from subnets.runtime import torch_runtime
from subnets.source import open_source
from supernet.runs.files import write_json

RECORD = Path(__file__).resolve().parent / "folding.json"
PICTURES = 12


def measure(name: str, folder: Path) -> dict[str, float]:
    """The largest differences of the network called `name`."""
    opened = open_source(name, SourceOptions())
    net, manifest = opened.require_net(), opened.describe()
    fused, exact = fused_network(net), copy.deepcopy(net).double().eval()
    export_onnx(fused, folder / "model.onnx", manifest)
    runs = {
        "with norms": torch_runtime(net, 1),
        "folded": torch_runtime(fused, 1),
        "onnxruntime": OnnxSession(folder / "model.onnx", 1),
    }
    predictor = Predictor.of(runs["with norms"], manifest)
    found: dict[str, float] = {}
    for number in range(PICTURES):
        images: Any = predictor.prepare(rendered(number, manifest.resolution * (0.9, 2.3)[number % 2]))[1][0]
        with torch.inference_mode():
            wanted = [output.numpy() for output in exact(torch.from_numpy(images).double())]
        outputs = {key: run(images) for key, run in runs.items()}
        rows = {key: relative_difference(each, wanted) for key, each in outputs.items()}
        rows["onnxruntime from folded"] = relative_difference(outputs["onnxruntime"], outputs["folded"])
        rows["onnxruntime from torch"] = relative_difference(outputs["onnxruntime"], outputs["with norms"])
        found = {key: max(found.get(key, 0.0), value) for key, value in rows.items()}
    return {key: float(f"{value:.1e}") for key, value in found.items()}


def main() -> None:
    """Measure, print, and write the record."""
    record = {}
    with TemporaryDirectory() as folder:
        for name in sys.argv[1:]:
            record[name] = measure(name, Path(folder))
            print(name, json.dumps(record[name]), flush=True)
    write_json(RECORD, record)


if __name__ == "__main__":
    main()
