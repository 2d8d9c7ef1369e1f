"""The contract of a format: one form of a network as a file, which `subnets.export` writes and commands run.

A format of your own is one `Format` in `FORMATS`; docs/extending.md tells how.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from supernet.errors import InputError
from supernet.heads.contract import HEADS
from supernet.pose.preprocess import padded_shape
from supernet.registry import Registry

from ..console import as_list
from ..portable.manifest import Manifest

if TYPE_CHECKING:
    from torch import nn

    from ..network import Network

Floats: TypeAlias = NDArray[np.float32]
# (B, 3, H, W) normalised images -> the network's outputs
Run: TypeAlias = Callable[[Floats], Sequence[Floats]]
Shape: TypeAlias = tuple[int, int, int, int]
# What graphs are traced in; OpenVINO, TensorRT and onnxruntime read it for years.
OPSET = 18
TINY = float(np.finfo(np.float32).tiny)
SHARE = 0.99  # of peaks or people, where a last digit may make others of a few


@dataclass(frozen=True)
class Job:
    """A network on its way into formats.

    Attributes:
        net: as it came, in evaluation mode.
        fused: the same with batch norms folded.
        manifest: what a written file says about itself; its `input_shape` fixes the input, its `peaks` ask
            for peaks or people instead of maps.
        folder: where files go.
        calibration: training images (1, 3, H, W), prepared as for inference.
        calibrated_on: what these are, for the card.
        opset: the ONNX operator set of its files.
        int8: how much of an INT8 file is in INT8; see `ExportOptions.int8`.
    """

    net: Network
    fused: Network
    manifest: Manifest
    folder: Path
    calibration: Callable[[], Sequence[Floats]]
    opset: int = OPSET
    int8: str = "mixed"
    calibrated_on: str = "training images"


def ended(net: nn.Module, manifest: Manifest) -> nn.Module:
    """`net`, continued to the end that `manifest` asks for."""
    from supernet.heads.peak_head import EndedNetwork

    end = HEADS.get(manifest.head_kind).ending(manifest.peaks, manifest.skeleton) if manifest.peaks else None
    return net if end is None else EndedNetwork(net, end)


@dataclass(frozen=True)
class Format:
    """One form of a network.

    Attributes:
        name: in `format=` and on the card.
        file: what is written, relative to the export's folder; in a folder of its own (`openvino/model.xml`)
            where there are several files.
        runtime: what runs it: its name in `runtime=` and in tables. Formats may share one.
        write: writes the job as the file at the path, with the `options` that a user may have changed;
            returns notes for the card.
        open: the file as a function from images to outputs, with that many threads (None: its own choice).
        manifest: what a file says about itself; None where it says nothing, so that it runs only beside
            the network's folder.
        reads: suffixes of the files that `open` takes; none means that of `file`.
        needs: formats that have to be in the folder before; written for the while where they are not asked
            for.
        packages: modules that `write` imports beside the toolkit's own.
        install: how to get them, after `pip install`.
        precision: `fp32` must compute what torch computes; what another one loses is told, not judged.
        calibrated: whether training images shaped it; it is compared with torch on those, too.
        peaks: whether it can end in peaks instead of maps.
        fixed: whether it takes images of one shape only.
        systems: where its runtime exists, by `sys.platform`; none means everywhere. Elsewhere its files are
            written without being run, and their card says so.
        bundled: whether the folder's own `predict.py` runs it, so that the folder is given one.
        options: of its own, with their values unless `export.options` gives others.
        require: raises InputError where a job and its options ask for what it cannot be, before anything is
            written.
    """

    name: str
    file: str
    runtime: str
    write: Callable[[Job, Path, Mapping[str, Any]], Sequence[str]]
    open: Callable[[Path, int | None], Run]
    manifest: Callable[[Path], Manifest | None] = lambda path: None
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    install: str = ""
    precision: str = "fp32"
    calibrated: bool = False
    peaks: bool = True
    fixed: bool = False
    systems: tuple[str, ...] = ()
    bundled: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    require: Callable[[Job, Mapping[str, Any]], None] = lambda job, options: None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that it opens."""
        return self.reads or (Path(self.file).suffix,)

    @property
    def runs_here(self) -> bool:
        """Whether its runtime exists for this system."""
        return not self.systems or sys.platform in self.systems

    def parts(self, folder: Path) -> list[Path]:
        """The files in an export's `folder`: `file`, or all in its own folder."""
        path = folder / self.file
        return sorted(path.parent.rglob("*")) if path.parent != folder else [path]

    def check(self, manifest: Manifest | None = None) -> None:
        """Raise InputError unless its packages are there, and it can be what `manifest` says."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise InputError(f"format {self.name} needs {', '.join(missing)}; pip install {self.install}")
        if manifest and manifest.peaks and not self.peaks:
            raise InputError(f"format {self.name} needs heatmaps as outputs; use export.peaks=0")
        if manifest and manifest.input_shape is None and self.fixed:
            raise InputError(
                f"format {self.name} takes images of one shape; use export.shapes=fixed, 4x3 or 16x9"
            )

    def chosen(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Its options with those `given`.

        Raises:
            InputError: it has no such option.
        """
        for key in given:
            if key not in self.options:
                known = ", ".join(self.options) or "none"
                raise InputError(f"export.options.{self.name}.{key} is not known; the format has {known}")
        return {**self.options, **given}


def _check(item: Format) -> None:
    if Path(item.file).is_absolute() or len(Path(item.file).parts) > 2 or not Path(item.file).suffix:
        raise InputError(f"file {item.file!r} must be NAME.SUFFIX or FOLDER/NAME.SUFFIX")


FORMATS: Registry[Format] = Registry(
    "format",
    {
        "onnx": "subnets.export.onnx_graph:ONNX",
        "fp16": "subnets.export.conversions:FP16",
        "levelled": "subnets.export.quantise:LEVELLED",
        "int8": "subnets.export.quantise:INT8",
        "torch_export": "subnets.export.conversions:TORCH_EXPORT",
        "openvino": "subnets.export.conversions:OPENVINO",
        "tflite": "subnets.export.mobile:TFLITE",
        "tflite_int8": "subnets.export.mobile:TFLITE_INT8",
        "executorch": "subnets.export.mobile:EXECUTORCH",
        "executorch_int8": "subnets.export.mobile:EXECUTORCH_INT8",
        "coreml": "subnets.export.mobile:COREML",
        "web": "subnets.export.bundle:WEB",
    },
    _check,
)


def check_formats(value: Any) -> list[str]:
    """The formats of `format=`.

    Raises:
        InputError: one is not known.
    """
    return [FORMATS.get(name).name for name in as_list(value, "format")]


def formats() -> list[Format]:
    """All that are known, in their order."""
    return [FORMATS.get(name) for name in FORMATS.names()]


def with_needs(wanted: Iterable[Format]) -> list[Format]:
    """`wanted` with what they need, each after what it needs."""
    order: list[Format] = []
    for item in wanted:
        before = with_needs(FORMATS.get(name) for name in item.needs)
        order += [each for each in (*before, item) if each not in order]
    return order


def format_of(path: str | os.PathLike[str], among: Sequence[Format] | None = None) -> Format | None:
    """The format of an exported file `among` some (all): by its name, else the first that opens its suffix;
    None for other files.
    """
    file, among = Path(path), formats() if among is None else among
    named = [item for item in among if Path(item.file).name == file.name]
    alike = [item for item in among if file.suffix in item.suffixes]
    return next(iter([*named, *alike]), None)


def readers(runtime: str) -> list[Format]:
    """The formats that `runtime` runs.

    Raises:
        InputError: it is no runtime.
    """
    found = [item for item in formats() if item.runtime == runtime]
    if not found:
        known = dict.fromkeys(item.runtime for item in formats())
        raise InputError(f"runtime {runtime!r} is not known; choose one of torch, {', '.join(known)}")
    return found


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


def each_difference(found: Sequence[Floats], wanted: Sequence[Floats]) -> list[float]:
    """`relative_difference` by output."""
    if len(found) != len(wanted):
        return [float("inf")] * len(wanted)
    return [relative_difference([have], [want]) for have, want in zip(found, wanted, strict=True)]


def ended_differences(found: Sequence[Floats], wanted: Sequence[Floats]) -> list[float]:
    """Differences between what two graphs with an end in peaks or people give, by output, relative to the
    largest of `wanted`: of the scores the largest, rank by rank, of all others that of `SHARE` of the peaks.

    A last digit decides which of two equal peaks comes first, which is the last that counts and which of two
    neighbours is the peak. So a peak is compared with the one that is nearest in all outputs, it does not
    count where its score is hardly above the other's last one, and one in a hundred may have no equal.

    Args:
        found, wanted: scores (..., K), best first, then outputs (..., K, *).
    """
    shapes = [[value.shape for value in each] for each in (found, wanted)]
    if shapes[0] != shapes[1] or not all(np.isfinite(value).all() for value in found):
        return [float("inf")] * len(wanted)
    count, sizes = wanted[0].shape[-1], [max(float(np.abs(value).max()), TINY) for value in wanted]
    both = [
        [
            (value / size).reshape(wanted[0].size // count, count, -1)
            for value, size in zip(each, sizes, strict=True)
        ]
        for each in (found, wanted)
    ]
    off = []
    for own, others in (both, both[::-1]):
        for mine, theirs in zip(zip(*own, strict=True), zip(*others, strict=True), strict=True):
            pairs = zip(mine, theirs, strict=True)
            apart = np.stack([np.abs(one[:, None] - other).max(axis=2) for one, other in pairs])
            nearest = apart[:, np.arange(count), apart.max(axis=0).argmin(axis=1)]
            above = mine[0][:, 0] - theirs[0].min()
            off.append(nearest[:, above > nearest.max(axis=0)])
    counted = np.concatenate([np.zeros((len(wanted), 1)), *off], axis=1)
    rest = np.quantile(counted[1:], SHARE, axis=1, method="higher")
    return [relative_difference(found[:1], wanted[:1]), *rest.tolist()]


def largest_difference(run: Run, reference: Run, inputs: Iterable[Floats], ended: bool = False) -> float:
    """The worst difference of two runtimes over `inputs`, `relative_difference` or, of graphs with an end in
    peaks or people, of `ended_differences`.
    """
    differences = ended_differences if ended else each_difference
    return max(max(differences(run(images), reference(images))) for images in inputs)
