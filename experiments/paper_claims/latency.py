"""Measure LitePose-XS/S/M/L and all comparison networks in onnxruntime, interleaved in one run.

    python -m experiments.paper_claims.latency export               # ONNX files into runs/paper_claims/
    python -m experiments.paper_claims.latency measure --threads 1 --seconds 400
    python -m experiments.paper_claims.latency measure --threads 2 --seconds 250

Every finished round is kept at once (rounds_T.csv); a further start adds rounds. The slow networks run in
every third round only, so that many rounds fit into the time that there is.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np

from subnets.any_arch import arch_from_dict
from subnets.any_arch import input_shape_of
from subnets.portable.session import OnnxSession
from subnets.timing import conditions
from supernet.files import write_json

HERE = Path(__file__).resolve().parent
ONNX = Path("runs/paper_claims")
LITEPOSE = ("litepose-xs", "litepose-s", "litepose-m", "litepose-l")
OTHERS = (
    *(f"efficienthrnet-h{level}" for level in (1, 2, 3, 4)),
    *(f"higherhrnet-w{width}" for width in (16, 24, 32, 48)),
    "lightweight-openpose",
    "lpn-50",
    "lpn-101",
)
NAMES = (*LITEPOSE, *OTHERS)
SLOW = ("higherhrnet-w32", "higherhrnet-w48")
SLOW_EVERY = 3
WARMUP = 1


def export() -> None:
    """Each network with random weights, batch norms folded, as an ONNX file of free shape."""
    from subnets.any_network import fused_network
    from subnets.onnx_graph import export_onnx
    from subnets.portable.manifest import Manifest
    from subnets.source import open_source

    for name in NAMES:
        path = ONNX / f"{name}.onnx"
        if path.exists():
            continue
        opened = open_source(name)
        arch = opened.arch
        facts = Manifest(name, arch.resolution, opened.skeleton, arch=arch.to_dict(), kind=opened.kind)
        export_onnx(fused_network(opened.require_net()), path, facts)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


def measure(threads: int, seconds: float) -> None:
    """Add rounds to rounds_T.csv until the time is over; none is broken off."""
    sessions = {name: OnnxSession(ONNX / f"{name}.onnx", threads) for name in NAMES}
    rng = np.random.default_rng(0)
    images = {}
    for name, session in sessions.items():
        shape = input_shape_of(arch_from_dict(dict(session.require_manifest().arch)))
        images[name] = rng.standard_normal((1, 3, *shape), dtype=np.float32)
    path = HERE / f"rounds_{threads}.csv"
    done = [int(row["round"]) for row in read_rounds(threads)]
    start = max(done, default=-1) + 1
    for _ in range(WARMUP):
        for name in NAMES:
            sessions[name](images[name])
    end, longest, round_ = time.monotonic() + seconds, 0.0, start
    while time.monotonic() + longest < end:
        began = time.monotonic()
        rows = []
        # A new order in each round: none always runs in the wake of another.
        for index in np.random.default_rng([threads, round_]).permutation(len(NAMES)):
            name = NAMES[index]
            if name in SLOW and round_ % SLOW_EVERY:
                continue
            # The idle threads of the session before spin on for a while; they must not meet the timed call.
            sessions[name](images[name])
            tick = time.perf_counter()
            sessions[name](images[name])
            rows.append((round_, name, f"{1000 * (time.perf_counter() - tick):.3f}"))
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if new:
                writer.writerow(("round", "network", "milliseconds"))
            writer.writerows(rows)
        longest = max(longest, time.monotonic() - began)
        round_ += 1
    write_json(HERE / f"conditions_{threads}.json", conditions(threads))
    print(f"{round_ - start} rounds added to {path}", file=sys.stderr)


def read_rounds(threads: int) -> list[dict[str, str]]:
    """What `measure` has written so far."""
    path = HERE / f"rounds_{threads}.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def main() -> None:
    """Run one of the two parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("export")
    timed = parts.add_parser("measure")
    timed.add_argument("--threads", type=int, required=True)
    timed.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    if options.part == "export":
        export()
    else:
        measure(options.threads, options.seconds)


if __name__ == "__main__":
    main()
