"""The formats that `subnets.export` writes; each is run and compared before it counts."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from .comparing import comparison_shapes
from .comparing import largest_difference
from .comparing import normal_inputs
from .comparing import require_same
from .network import Subnet
from .onnx_graph import export_onnx
from .onnx_graph import file_bytes
from .portable.manifest import Manifest
from .runtime import Floats
from .runtime import Run
from .runtime import open_runtime
from .runtime import torch_runtime


@dataclass(frozen=True)
class Job:
    """One export.

    Attributes:
        net: the network as it was given.
        fused: the same with its batch norms folded.
        manifest: facts for the consumer.
        folder: where the files go.
        tolerance: largest difference from torch, relative to the largest output.
        calibration: train images as the network takes them, (1, 3, H, W) each; for INT8.
    """

    net: Subnet
    fused: Subnet
    manifest: Manifest
    folder: Path
    tolerance: float
    calibration: Sequence[Floats] = ()


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
    path = job.folder / "model.onnx"
    export_onnx(job.fused, path, job.manifest)
    return _checked(job, "onnx", path, "onnxruntime", open_runtime(path, "onnxruntime", 1))


def write_torch_export(job: Job) -> Written:
    """`model.pt2`, a torch.export program with the same free axes as the ONNX file."""
    import torch

    from .onnx_graph import example_input

    example, dynamic = example_input(job.manifest.input_shape)
    program = torch.export.export(
        job.fused, (example,), dynamic_shapes=None if dynamic is None else (dynamic,)
    )
    path = job.folder / "model.pt2"
    torch.export.save(program, path)
    return _checked(job, "torch_export", path, "torch.export", open_runtime(path, "torch.export"))


def _checked(job: Job, name: str, path: Path, runtime: str, run: Run) -> Written:
    """Compare `run` with torch and describe the file.

    Raises:
        InputError: they differ by more than the tolerance.
    """
    difference = difference_from_torch(job, run)
    require_same(f"{name} in {runtime}", difference, job.tolerance)
    return Written(name, path.name, file_bytes(path), difference, runtime)


def difference_from_torch(job: Job, run: Run) -> float:
    """Largest difference between `run` and the network in torch on square and other inputs."""
    shapes = comparison_shapes(job.manifest.resolution, job.manifest.input_shape)
    return largest_difference(run, torch_runtime(job.net), normal_inputs(shapes))


FORMATS: dict[str, Callable[[Job], Written]] = {"onnx": write_onnx, "torch_export": write_torch_export}
