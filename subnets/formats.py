"""The formats that `subnets.export` writes; each is run and compared before it counts."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

from supernet.errors import InputError

from .any_network import AnyNetwork
from .comparing import comparison_shapes
from .comparing import largest_difference
from .comparing import normal_inputs
from .comparing import require_same
from .onnx_graph import export_onnx
from .onnx_graph import file_bytes
from .peak_head import peak_runtime
from .portable.manifest import Manifest
from .runtime import Floats
from .runtime import Run
from .runtime import open_runtime
from .runtime import torch_runtime

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

    from .input_shape import step_of
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
    from .openvino_files import convert

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
