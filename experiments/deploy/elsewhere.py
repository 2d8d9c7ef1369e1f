"""Outputs of runtimes that are no format here, on pictures that `subnets.compare write=...` prepared.

    python experiments/deploy/elsewhere.py ncnn FOLDER pixels.npz outputs.npz
    python experiments/deploy/elsewhere.py aotinductor FOLDER pixels.npz outputs.npz

FOLDER is an export of fixed shape with model.onnx and model.pt2. Needs numpy, and ncnn and pnnx, or torch.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Any], Sequence[Any]]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def ncnn(folder: Path, shape: tuple[int, ...]) -> Run:
    """By pnnx, which converts the ONNX file; everything in fp32."""
    import ncnn
    import pnnx

    work = Path(tempfile.mkdtemp())
    (work / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    program = Path(pnnx.__file__).parent / "bin" / "pnnx"
    program = program if program.exists() else Path(sys.executable).with_name("pnnx")
    sides = ",".join(map(str, shape))
    command = [str(program), "model.onnx", f"inputshape=[{sides}]", "fp16=0"]
    subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.num_threads = 1
    net.load_param(str(work / "model.ncnn.param"))
    net.load_model(str(work / "model.ncnn.bin"))

    def run(images: Any) -> list[Any]:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(images[0]).clone())
        return [np.array(extractor.extract(name)[1])[None] for name in ("out0", "out1")]

    return run


def aotinductor(folder: Path, shape: tuple[int, ...]) -> Run:
    """The torch.export program, compiled ahead of time to a library."""
    import torch

    program = torch.export.load(folder / "model.pt2")
    package = torch._inductor.aoti_compile_and_package(program)
    model = torch._inductor.aoti_load_package(package)
    return lambda images: [value.numpy() for value in model(torch.from_numpy(images))]


def main() -> None:
    """Run every picture and write the outputs under the names that `subnets.compare` reads."""
    kind, folder, pixels, target = sys.argv[1:]
    with np.load(pixels) as arrays:
        pictures = {key.removeprefix("pixels_"): arrays[key] for key in arrays}
    height, width = next(iter(pictures.values())).shape[:2]
    run = {"ncnn": ncnn, "aotinductor": aotinductor}[kind](Path(folder), (1, 3, height, width))
    found = {}
    for number, picture in pictures.items():
        images = ((picture / 255 - MEAN) / DEVIATION).astype(np.float32).transpose(2, 0, 1)[None]
        outputs = run(np.ascontiguousarray(images))
        found[f"quarter_{number}"], found[f"half_{number}"] = sorted(outputs, key=lambda each: -each.shape[1])
    np.savez(target, **found)


if __name__ == "__main__":
    main()
