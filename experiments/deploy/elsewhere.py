"""Outputs of runtimes that are no format here, on pictures that `subnets.compare write=...` prepared.

    python experiments/deploy/elsewhere.py RUNTIME FOLDER pixels.npz outputs.npz [training.npz]

RUNTIME is ncnn (needs ncnn and pnnx), mnn (MNN; its own command `mnnconvert` installs packages, so that only
the compiled converter below it is called), aotinductor (torch), opencv, tract, openvino_int8 (openvino, of
our model_int8.onnx), coreml (coremltools and torch; not Core ML, which Apple's systems alone have, but the
operators of model.mlpackage one by one in torch, so that the conversion is checked), or rknn (rknn-toolkit2;
its simulator, in INT8 with training pictures). FOLDER is an export of fixed shape: model.onnx and so on.
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


def read_inputs(path: str) -> dict[str, Any]:
    """The pictures of a file by number, (1, 3, height, width) as the network takes them."""
    with np.load(path) as arrays:
        pictures = {key.removeprefix("pixels_"): arrays[key] for key in arrays}
    return {
        number: np.ascontiguousarray(
            ((picture / 255 - MEAN) / DEVIATION).astype(np.float32).transpose(2, 0, 1)[None]
        )
        for number, picture in pictures.items()
    }


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


def mnn(folder: Path, shape: tuple[int, ...]) -> Run:
    """By the converter of MNN's package and its engine, everything in fp32."""
    import _tools
    import MNN
    from MNN import expr, nn

    # `import MNN.tools`, which nothing here does, would run the first pip on the path.
    assert "MNN.tools" not in sys.modules
    model = str(Path(tempfile.mkdtemp()) / "model.mnn")
    words = ["--framework", "ONNX", "--modelFile", str(folder / "model.onnx"), "--MNNModel", model]
    _tools.mnnconvert(["mnnconvert", *words, "--bizCode", "x"])
    settings = {"precision": "high", "backend": "CPU", "numThread": 1}
    manager = nn.create_runtime_manager((settings,))
    net = nn.load_module_from_file(model, ["images"], ["quarter", "half"], runtime_manager=manager)

    def run(images: Any) -> list[Any]:
        given = expr.placeholder(list(images.shape), expr.NCHW, expr.float)
        given.write(images)
        outputs = [expr.convert(each, expr.NCHW) for each in net.forward([given])]
        return [np.array(each.read(), np.float32).reshape(each.shape) for each in outputs]

    print("MNN", MNN.version())
    return run


def aotinductor(folder: Path, shape: tuple[int, ...]) -> Run:
    """The torch.export program, compiled ahead of time to a library."""
    import torch

    program = torch.export.load(folder / "model.pt2")
    package = torch._inductor.aoti_compile_and_package(program)
    model = torch._inductor.aoti_load_package(package)
    return lambda images: [value.numpy() for value in model(torch.from_numpy(images))]


def opencv(folder: Path, shape: tuple[int, ...]) -> Run:
    """OpenCV's own engine."""
    import cv2

    net = cv2.dnn.readNetFromONNX(str(folder / "model.onnx"))
    names = net.getUnconnectedOutLayersNames()

    def run(images: Any) -> Sequence[Any]:
        net.setInput(images)
        found: Sequence[Any] = net.forward(names)
        return found

    return run


def tract(folder: Path, shape: tuple[int, ...]) -> Run:
    """Sonos's engine in Rust."""
    import tract

    model = tract.onnx().load(str(folder / "model.onnx")).into_model().into_runnable()
    return lambda images: [value.to_numpy() for value in model.run([images])]


def openvino_int8(folder: Path, shape: tuple[int, ...]) -> Run:
    """Our own INT8 file, whose rounding steps OpenVINO takes for its integers."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1}
    model = openvino.Core().compile_model(str(folder / "model_int8.onnx"), "CPU", settings)

    def run(images: Any) -> list[Any]:
        results = model([images])
        return [np.array(results[port]) for port in model.outputs]

    return run


def coreml(folder: Path, shape: tuple[int, ...]) -> Run:
    """The ML program of format coreml as torch computes its operators."""
    import torch
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.models import MLModel
    from torch.nn import functional

    package = MLModel(str(folder / "coreml/model.mlpackage"), skip_model_load=True)
    spec = package.get_spec()
    program = load(spec, spec.specificationVersion, package.weights_dir)
    (function,) = program.functions.values()

    def convolve(one: Any, x: Any) -> Any:
        weight, bias = (
            None if one.inputs.get(name) is None else torch.from_numpy(np.array(one.inputs[name].val))
            for name in ("weight", "bias")
        )
        strides, groups = one.strides.val.tolist(), int(one.groups.val)
        if one.pad_type.val != "custom" and one.pad_type.val != "valid":
            raise SystemExit(f"padding {one.pad_type.val} is not known here")
        top, bottom, left, right = one.pad.val.tolist() if one.pad_type.val == "custom" else [0] * 4
        if one.op_type == "conv":
            x = functional.pad(x, (left, right, top, bottom))
            return functional.conv2d(x, weight, bias, strides, groups=groups)
        full = functional.conv_transpose2d(x, weight, bias, strides, groups=groups)
        return full[..., top : full.shape[2] - bottom, left : full.shape[3] - right]

    simple = {
        "relu": torch.relu,
        "relu6": functional.relu6,
        "add": torch.add,
        "conv": None,
        "conv_transpose": None,
    }

    def run(images: Any) -> list[Any]:
        (given,) = function.inputs
        known = {given: torch.from_numpy(images)}
        for one in function.operations:
            if one.op_type == "const":
                continue
            inputs = [known[one.inputs[name].name] for name in ("x", "y") if name in one.inputs]
            work = simple[one.op_type]
            (made,) = one.outputs
            known[made.name] = convolve(one, *inputs) if work is None else work(*inputs)
        return [known[each.name].numpy() for each in function.outputs]

    return run


def rknn(folder: Path, shape: tuple[int, ...], images: Sequence[Any] = ()) -> Run:
    """Rockchip's simulator of an RK3588: fp16, or INT8 calibrated on `images`."""
    from rknn.api import RKNN

    net = RKNN(verbose=False)
    work = Path(tempfile.mkdtemp())
    for number, each in enumerate(images):
        np.save(work / f"{number}.npy", each)
    listed = "\n".join(str(work / f"{number}.npy") for number in range(len(images)))
    (work / "images.txt").write_text(listed)
    net.config(target_platform="rk3588")
    steps = (
        lambda: net.load_onnx(model=str(folder / "model.onnx")),
        lambda: net.build(do_quantization=bool(images), dataset=str(work / "images.txt")),
        net.init_runtime,
    )
    for step in steps:
        if step() != 0:
            raise SystemExit("rknn-toolkit2 failed; see its lines above")
    return lambda images: [np.asarray(each) for each in net.inference(inputs=[images], data_format=["nchw"])]


RUNTIMES = {
    "ncnn": ncnn,
    "mnn": mnn,
    "aotinductor": aotinductor,
    "opencv": opencv,
    "tract": tract,
    "openvino_int8": openvino_int8,
    "coreml": coreml,
    "rknn": rknn,
}


def main() -> None:
    """Run every picture and write the outputs under the names that `subnets.compare` reads."""
    kind, folder, pixels, target, *training = sys.argv[1:]
    inputs = read_inputs(pixels)
    shape = next(iter(inputs.values())).shape
    if training:
        run = rknn(Path(folder), shape, list(read_inputs(training[0]).values()))
    else:
        run = RUNTIMES[kind](Path(folder), shape)
    found = {}
    for number, images in inputs.items():
        outputs = run(images)
        found[f"quarter_{number}"], found[f"half_{number}"] = sorted(outputs, key=lambda each: -each.shape[1])
    np.savez(target, **found)


if __name__ == "__main__":
    main()
