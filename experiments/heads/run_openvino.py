"""The same file in OpenVINO: python run_openvino.py WORK RUN, with `pip install openvino numpy` alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import openvino

LEAST = 0.01


def main() -> None:
    """Run the command."""
    work, run = Path(sys.argv[1]), sys.argv[2]
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = openvino.Core().compile_model(str(work / "runs/export" / run / "model.onnx"), "CPU", exact)
    kept = np.load(work / "openvino.npz")
    images = sorted(name for name in kept.files if name.startswith("image_"))
    people = missing = 0
    furthest = 0.0
    for name in images:
        number = name.removeprefix("image_")
        scores, joints = (model(kept[name])[place] for place in (0, 1))
        wanted = kept[f"scores_{number}"] > LEAST
        people += int(wanted.sum())
        missing += abs(int((scores > LEAST).sum()) - int(wanted.sum()))
        apart = np.abs(joints[wanted] - kept[f"people_{number}"][wanted])[..., :2]
        furthest = max(furthest, float(apart.max(initial=0)))
    told = f"{missing} differ in number, joints by at most {furthest:.1e} pixels"
    print(f"OpenVINO {openvino.__version__}: {len(images)} images, {people} people of onnxruntime: {told}")


if __name__ == "__main__":
    main()
