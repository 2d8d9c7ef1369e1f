"""`python -m subnets.benchmark`: latencies of networks and runtimes, side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernet.cli import launch
from supernet.errors import InputError
from supernet.runs.folders import hold_run_folder

from ..console import as_list, distinct_slugs, register_slug
from .options import BenchmarkCommand

if TYPE_CHECKING:
    from ..source import Opened
    from .timing import Timing

RESULTS_FILE = "results.json"
SCHEMA = 3


def main() -> None:
    """Run the command."""
    register_slug()
    launch("benchmark", BenchmarkCommand, run)


def run(config: BenchmarkCommand, folder: Path) -> None:
    """Measure, print a table, and write results and plot into `folder`."""
    archs, runtimes = as_list(config.arch, "arch"), as_list(config.runtime, "runtime")
    from supernet.runs.environment import environment, environment_line
    from supernet.runs.files import write_json

    from ..console import open_console
    from ..source import open_source
    from .benchmarking import draw, latency_table, open_runs, timed
    from .timing import interleave

    networks = dict(zip(distinct_slugs(archs), (open_source(arch, config) for arch in archs), strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        runs = open_runs(networks, runtimes, config.threads, Path(scratch))
        wanted = config.benchmark
        measured = {name: timed(wanted, networks[name[0]], name[1], run_) for name, run_ in runs.items()}
        titles = {" / ".join(name): item.call for name, item in measured.items()}
        with hold_run_folder(folder, config):
            if (folder / RESULTS_FILE).exists():
                raise InputError(f"{folder} holds measurements already; choose another name=...")
            timings = interleave(titles, wanted.rounds, wanted.warmup, wanted.seed, lead_in=1)
            where = environment(config.threads)
            rows = [
                _row(name, networks[name[0]], item.input_shape, timing)
                for (name, item), timing in zip(measured.items(), timings, strict=True)
            ]
            record = {"schema": SCHEMA, "environment": where, "what": _what(config), "rows": rows}
            draw(folder / "results.png", timings, _what(config))
            # Last: what is there counts as done.
            write_json(folder / RESULTS_FILE, record)
    console = open_console()
    console.print(latency_table(rows, _what(config)))
    console.print(environment_line(where))
    console.print(f"results: {folder / RESULTS_FILE}", soft_wrap=True)


def _what(config: BenchmarkCommand) -> str:
    options = config.benchmark
    if options.image is not None:
        return f"{Path(options.image).name}: from file to people"
    shape = "its own input" if options.input_shape is None else "{} x {} pixels".format(*options.input_shape)
    return f"the network alone, batch {options.batch}, {shape}"


def _row(name: tuple[str, str], opened: Opened, shape: tuple[int, int], timing: Timing) -> dict[str, Any]:
    from supernet.cost import count_macs

    network, runtime = name
    return {
        **timing.to_dict(),
        "network": network,
        "runtime": runtime,
        "input_shape": list(shape),
        "macs": count_macs(opened.arch, opened.skeleton.num_joints, input_shape=shape),
    }


if __name__ == "__main__":
    main()
