"""What a benchmark measures: networks in runtimes, on noise or from an image file to people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from supernet.cost import check_input_shape
from supernet.errors import InputError
from supernet.family import step_of
from supernet.runs.files import atomic_path

from ..export.formats import FORMATS, Job, Run, formats, normal_inputs, readers, with_needs
from ..portable.manifest import Manifest
from ..runtime import open_runtime
from ..source import Opened
from .options import BenchmarkOptions
from .timing import Timing


def latency_table(rows: Sequence[Mapping[str, Any]], what: str) -> Table:
    """One row per network and runtime; ratios are to the first row."""
    table = Table(title=f"{what}: ms per call, {rows[0]['rounds']} interleaved rounds")
    for name in ("network", "runtime", "input", "GMACs", "median", "10% to 90%", "fastest", "ratio"):
        table.add_column(name, justify="left" if name in ("network", "runtime") else "right")
    first = rows[0]["median"]
    for row in rows:
        spread = f"{row['p10']:.1f} to {row['p90']:.1f}"
        height, width = row["input_shape"]
        cells = (f"{row['macs'] / 1e9:.3f}", f"{row['median']:.1f}", spread, f"{row['best']:.1f}")
        ratio = f"{row['median'] / first:.2f}"
        table.add_row(row["network"], row["runtime"], f"{height} x {width}", *cells, ratio)
    return table


def draw(path: Path, timings: Sequence[Timing], what: str) -> None:
    """A box for each candidate, with all its rounds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.4 + 0.45 * len(timings)), layout="constrained")
    axes = figure.subplots()
    values = [timing.milliseconds for timing in timings]
    axes.boxplot(values, orientation="horizontal", widths=0.6, whis=(10, 90), showfliers=False)
    for place, milliseconds in enumerate(values, start=1):
        axes.plot(milliseconds, [place] * len(milliseconds), "|", color="C0", alpha=0.4, markersize=9)
    axes.set_yticks(range(1, len(timings) + 1), [timing.name for timing in timings])
    axes.invert_yaxis()
    axes.set(xlabel="ms per call (box: quartiles, whiskers: 10% to 90%)", title=what, xlim=(0, None))
    axes.grid(axis="x", alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


@dataclass(frozen=True)
class Timed:
    """What is measured of one network in one runtime.

    Attributes:
        call: one measured call.
        input_shape: (height, width) in pixels of the network's input in it.
    """

    call: Callable[[], object]
    input_shape: tuple[int, int]


def open_runs(
    networks: Mapping[str, Opened], runtimes: Iterable[str], threads: int | None, scratch: Path
) -> dict[tuple[str, str], Run]:
    """Every network in every runtime; torch with folded batch norms, files made in `scratch` where missing.

    Raises:
        InputError: a runtime is unknown or not installed, or a network is nothing but a file of another
        runtime.
    """
    found: dict[tuple[str, str], Run] = {}
    for name, opened in networks.items():
        for runtime in runtimes:
            source = _fused(opened) if runtime == "torch" else file_for(name, opened, runtime, scratch)
            found[name, runtime] = open_runtime(source, runtime, threads)
    return found


def file_for(name: str, opened: Opened, runtime: str, scratch: Path) -> Path:
    """The file of `opened` that `runtime` runs: its own, or one of free shape in `scratch`/`name`, made if it
    is not there.
    """
    suffixes = [suffix for reader in readers(runtime) for suffix in reader.suffixes]
    known = [path for path in opened.files.values() if path.suffix in suffixes]
    if known:
        return known[0]
    form = next(item for item in formats() if Path(item.file).suffix in suffixes)
    path = scratch / name / form.file
    if not path.exists():
        order = [item for item in with_needs([form]) if not (scratch / name / item.file).exists()]
        for item in order:
            item.check()
        manifest = replace(opened.describe(), name=name)
        job = Job(opened.require_net(), _fused(opened), manifest, scratch / name, tuple)
        for item in order:
            target = job.folder / item.file
            target.parent.mkdir(parents=True, exist_ok=True)
            item.write(job, target, item.options)
    return path


def _fused(opened: Opened) -> Any:
    from ..network import fused_network

    return fused_network(opened.require_net())


def timed(options: BenchmarkOptions, opened: Opened, runtime: str, run: Run) -> Timed:
    """The network on noise, or with `options.image` the way from that file to people.

    Raises:
        InputError: the network cannot take the input, or finds no people.
    """
    # A file's own shape also for the same network in torch, which stands beside it.
    manifests = (opened.manifest, *(FORMATS.get(name).manifest(path) for name, path in opened.files.items()))
    manifest = opened.describe(next((item for item in manifests if item is not None), None))
    if options.image is not None:
        grouped = replace(manifest, peaks=0) if runtime == "torch" else manifest
        return _from_file(Path(options.image), opened, run, grouped)
    fixed = manifest.input_shape
    shape = check_input_shape(options.input_shape or fixed or opened.arch.input_shape, step_of(opened.arch))
    if fixed is not None and shape != fixed:
        raise InputError(
            f"benchmark.input_shape={list(shape)}: the exported {opened.name} takes {list(fixed)} only"
        )
    (images,) = normal_inputs([(options.batch, 3, *shape)])
    return Timed(partial(run, images), shape)


def _from_file(image: Path, opened: Opened, run: Run, manifest: Manifest) -> Timed:
    from ..portable.frames import read_rgb
    from ..portable.predictor import Predictor

    opened.require_people()
    predictor = Predictor.of(run, manifest)
    _, (prepared,) = predictor.prepare(read_rgb(image))
    height, width = prepared.shape[2:]
    return Timed(lambda: predictor(read_rgb(image)), (height, width))
