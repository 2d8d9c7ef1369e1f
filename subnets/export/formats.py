"""The formats that `subnets.export` writes; each is run and compared before it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from supernet.cost import padded_shape
from supernet.errors import InputError

from ..families.networks import AnyNetwork
from ..portable.manifest import Manifest
from ..runtime import Floats, Run, open_runtime, torch_runtime
from .onnx_graph import export_onnx, file_bytes
from .peak_head import peak_runtime


def convert(source: Path, target: Path) -> None:
    """Write `target` (.xml) and its weights (.bin) from the ONNX file `source`, fp32.

    Raises:
        InputError: OpenVINO is not installed.
    """
    try:
        import openvino
    except ImportError:
        raise InputError("format openvino needs OpenVINO; pip install 'litepose-ofa[openvino]'") from None
    model = openvino.convert_model(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, target, compress_to_fp16=False)


TINY = float(np.finfo(np.float32).tiny)
Shape = tuple[int, int, int, int]


def comparison_shapes(resolution: int, input_shape: tuple[int, int] | None) -> list[Shape]:
    """Inputs to compare on: the only one that fits, or the square, a landscape pair and a portrait image."""
    if input_shape is not None:
        return [(1, 3, *input_shape)]
    landscape = padded_shape(resolution, 480, 640)
    portrait = padded_shape(resolution, 640, 480)
    return [(1, 3, resolution, resolution), (2, 3, *landscape), (1, 3, *portrait)]


def normal_inputs(shapes: Iterable[Shape], seed: int = 0) -> list[Floats]:
    """Standard normal images of the `shapes`, as normalised photographs roughly are."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def relative_difference(found: Sequence[Floats], wanted: Sequence[Floats]) -> float:
    """Largest absolute difference between two lists of outputs, relative to the largest of `wanted`, per
    output.

    Infinite when shapes differ or a value is not finite.
    """
    if [value.shape for value in found] != [value.shape for value in wanted]:
        return float("inf")
    worst = 0.0
    for have, want in zip(found, wanted, strict=True):
        difference = float(np.abs(have - want).max())
        if not np.isfinite(difference):
            return float("inf")
        worst = max(worst, difference / max(float(np.abs(want).max()), TINY))
    return worst


def largest_difference(run: Run, reference: Run, inputs: Iterable[Floats]) -> float:
    """`relative_difference` of two runtimes, the worst over `inputs`."""
    return max(relative_difference(run(images), reference(images)) for images in inputs)


def require_same(what: str, difference: float, tolerance: float) -> None:
    """Raise InputError unless `difference` is within `tolerance`."""
    if not difference <= tolerance:
        raise InputError(
            f"{what} differs from torch by {difference:.1e} of the largest output (allowed {tolerance:.0e}); "
            "nothing was written"
        )


ONNX_FILE = "model.onnx"
INT8_FILE = "model_int8.onnx"


@dataclass(frozen=True)
class Job:
    """One export.

    Attributes:
        net: the network as it was given.
        fused: the same with its batch norms folded.
        manifest: facts for the consumer.
        folder: where the files go.
        tolerance: largest difference from torch, relative to the largest output.
        calibration: gives train images as the network takes them, (1, 3, H, W) each; for INT8.
    """

    net: AnyNetwork
    fused: AnyNetwork
    manifest: Manifest
    folder: Path
    tolerance: float
    calibration: Callable[[], Sequence[Floats]]


@dataclass(frozen=True)
class Written:
    """One format that was written and found to run.

    Attributes:
        format: its name.
        file: relative to the export's folder.
        size: in bytes.
        difference: from torch, relative to the largest output.
        runtime: the runtime that ran it.
        notes: what a reader of the card should know.
    """

    format: str
    file: str
    size: int
    difference: float
    runtime: str
    notes: Sequence[str] = field(default_factory=tuple)


def write_onnx(job: Job) -> Written:
    """`model.onnx`, fp32."""
    path = job.folder / ONNX_FILE
    export_onnx(job.fused, path, job.manifest)
    return _checked(job, "onnx", path, "onnxruntime")


def write_int8(job: Job) -> Written:
    """`model_int8.onnx`, calibrated on training images; how far it is from torch is told, not judged."""
    from .quantise import quantise

    if job.manifest.peaks:
        raise InputError("format int8 needs heatmaps as outputs; use export.peaks=0")
    source, path = job.folder / ONNX_FILE, job.folder / INT8_FILE
    temporary = not source.exists()
    if temporary:
        export_onnx(job.fused, source, job.manifest)
    quantise(source, path, job.calibration(), job.manifest)
    if temporary:
        source.unlink()
    images = job.calibration()[:8]
    run, reference = open_runtime(path, "onnxruntime"), torch_runtime(job.net)
    difference = largest_difference(run, reference, images)
    notes = (
        f"calibrated on {len(job.calibration())} training images",
        f"difference on {len(images)} of them",
    )
    return Written("int8", path.name, file_bytes(path), difference, "onnxruntime", notes)


def write_torch_export(job: Job) -> Written:
    """`model.pt2`, a torch.export program with the same free axes as the ONNX file."""
    import torch

    from ..families.static import step_of
    from .onnx_graph import example_input

    example, dynamic = example_input(job.manifest.input_shape, step_of(job.net.arch))
    shapes = None if dynamic is None else (dynamic,)
    program = torch.export.export(job.fused, (example,), dynamic_shapes=shapes)
    path = job.folder / "model.pt2"
    torch.export.save(program, path)
    return _checked(
        replace(job, manifest=replace(job.manifest, peaks=0)), "torch_export", path, "torch.export"
    )


def write_openvino(job: Job) -> Written:
    """`openvino/model.xml` and `.bin`, fp32, converted from the ONNX graph by OpenVINO itself."""

    path = job.folder / "openvino" / "model.xml"
    source = job.folder / ONNX_FILE
    temporary = not source.exists()
    if temporary:
        export_onnx(job.fused, source, job.manifest)
    convert(source, path)
    if temporary:
        source.unlink()
    return replace(
        _checked(job, "openvino", path, "openvino"), file="openvino/model.xml", size=file_bytes(path.parent)
    )


def _checked(job: Job, name: str, path: Path, runtime: str) -> Written:
    """Run a written file, compare it with torch, and describe it.

    Raises:
        InputError: they differ by more than the tolerance.
    """
    difference = difference_from_torch(job, open_runtime(path, runtime))
    require_same(f"{name} in {runtime}", difference, job.tolerance)
    return Written(name, path.name, file_bytes(path), difference, runtime)


def difference_from_torch(job: Job, run: Run) -> float:
    """Largest difference between `run` and the network in torch on square and other inputs.

    Of a graph that ends in peaks the scores count: places of equal peaks may change places.
    """
    shapes = comparison_shapes(job.manifest.resolution, job.manifest.input_shape)
    inputs, reference = normal_inputs(shapes), torch_runtime(job.net)
    if not job.manifest.peaks:
        return largest_difference(run, reference, inputs)
    peaks = peak_runtime(job.manifest.peaks)
    return largest_difference(lambda x: run(x)[:1], lambda x: peaks(reference(x))[:1], inputs)


FORMATS: dict[str, Callable[[Job], Written]] = {
    "onnx": write_onnx,
    "int8": write_int8,
    "torch_export": write_torch_export,
    "openvino": write_openvino,
}
