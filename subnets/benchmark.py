"""`python -m subnets.benchmark`: latencies of networks and runtimes, side by side."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from supernet.cli import launch
from supernet.errors import InputError
from supernet.run_folders import claim_run_folder

from .benchmark_options import BenchmarkCommand
from .benchmark_options import BenchmarkOptions
from .export_options import as_list
from .naming import distinct_slugs
from .naming import register_slug

if TYPE_CHECKING:
    from .runtime import Run
    from .source import Opened
    from .timing import Timing

RESULTS_FILE = "results.json"
SCHEMA = 1


def main() -> None:
    """Run the command."""
    register_slug()
    launch("benchmark", BenchmarkCommand, run)


def run(config: BenchmarkCommand, folder: Path) -> None:
    """Measure, print a table, and write results and plot into `folder`."""
    archs, runtimes = as_list(config.arch, "arch"), as_list(config.runtime, "runtime")
    from supernet.files import write_json

    from .benchmark_report import draw
    from .benchmark_report import latency_table
    from .console import open_console
    from .source import SourceOptions
    from .source import open_source
    from .timing import conditions
    from .timing import conditions_line
    from .timing import interleave

    if (folder / RESULTS_FILE).exists():
        raise InputError(f"{folder} holds measurements already; choose another name=...")
    options = SourceOptions(config.weights, config.supernet, config.skeleton)
    networks = dict(zip(distinct_slugs(archs), (open_source(arch, options) for arch in archs), strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        runs = open_runs(networks, runtimes, config.threads, Path(scratch))
        calls = {
            name: _call(config.benchmark, networks[name[0]], name[1], run_) for name, run_ in runs.items()
        }
        claim_run_folder(folder, config)
        titles = {" / ".join(name): call for name, call in calls.items()}
        wanted = config.benchmark
        timings = interleave(titles, wanted.rounds, wanted.warmup, wanted.seed, lead_in=1)
    where = conditions(config.threads)
    rows = [_row(name, networks[name[0]], timing) for name, timing in zip(calls, timings, strict=True)]
    write_json(
        folder / RESULTS_FILE, {"schema": SCHEMA, "conditions": where, "what": _what(config), "rows": rows}
    )
    draw(folder / "results.png", timings, _what(config))
    console = open_console()
    console.print(latency_table(rows, _what(config)))
    console.print(conditions_line(where))
    console.print(f"results: {folder / RESULTS_FILE}", soft_wrap=True)


def open_runs(
    networks: dict[str, Opened], runtimes: list[str], threads: int | None, scratch: Path
) -> dict[tuple[str, str], Run]:
    """Every network in every runtime; torch with folded batch norms, ONNX files made in `scratch` where
    missing.

    Raises:
        InputError: a runtime is unknown or not installed, or a network is nothing but an ONNX file and
        torch is asked for.
    """
    from .runtime import open_runtime

    found: dict[tuple[str, str], Run] = {}
    for name, opened in networks.items():
        for runtime in runtimes:
            source = _fused(opened) if runtime == "torch" else _onnx_file(name, opened, scratch)
            found[name, runtime] = open_runtime(source, runtime, threads)
    return found


def _fused(opened: Opened) -> Any:
    from .any_network import fused_network

    return fused_network(opened.require_net())


def _onnx_file(name: str, opened: Opened, scratch: Path) -> Path:
    if opened.onnx is not None:
        return opened.onnx
    from .onnx_graph import export_onnx
    from .portable.manifest import Manifest

    path = scratch / f"{name}.onnx"
    if not path.exists():
        arch = opened.arch
        manifest = Manifest(name, arch.resolution, opened.skeleton, arch=arch.to_dict(), kind=opened.kind)
        export_onnx(_fused(opened), path, manifest)
    return path


def _call(options: BenchmarkOptions, opened: Opened, runtime: str, run_: Run) -> Callable[[], object]:
    """What is measured: the network on noise, or the way from an image file to people."""
    from .any_arch import input_shape_of
    from .comparing import normal_inputs
    from .running import manifest_of

    # The file's own shape also for the same network in torch, which stands beside it.
    manifest = manifest_of(opened, "onnxruntime")
    shape = manifest.input_shape if manifest else None
    if options.image is None:
        height, width = options.input_shape or shape or input_shape_of(opened.arch)
        (images,) = normal_inputs([(options.batch, 3, height, width)])
        return partial(run_, images)
    from .portable.frames import read_rgb
    from .portable.predictor import Predictor
    from .portable.predictor import PredictorOptions

    opened.require_people()
    path = Path(options.image)
    peaks = runtime != "torch" and manifest is not None and manifest.peaks > 0
    settings = PredictorOptions(opened.arch.resolution, shape, peaks)
    predictor = Predictor(run_, opened.skeleton, settings)
    return lambda: predictor(read_rgb(path))


def _what(config: BenchmarkCommand) -> str:
    options = config.benchmark
    if options.image is not None:
        return f"{Path(options.image).name}: from file to people"
    shape = "its own input" if options.input_shape is None else "{} x {} pixels".format(*options.input_shape)
    return f"the network alone, batch {options.batch}, {shape}"


def _row(name: tuple[str, str], opened: Opened, timing: Timing) -> dict[str, Any]:
    from .any_arch import macs_of

    network, runtime = name
    macs = macs_of(opened.arch, opened.skeleton.num_joints)
    return {
        **timing.to_dict(),
        "network": network,
        "runtime": runtime,
        "resolution": opened.arch.resolution,
        "macs": macs,
    }


if __name__ == "__main__":
    main()
