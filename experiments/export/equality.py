"""ONNX against torch: the four released architectures and ten random ones, several input shapes, people
decoded.

    python experiments/export/equality.py

Weights are random (batch norms calibrated on noise, so that rounding is not magnified); sizes, shapes and
operators are those of trained networks. Writes equality.csv beside itself.
"""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path

import numpy as np

from subnets.export.formats import comparison_shapes, normal_inputs, relative_difference
from subnets.export.onnx_graph import export_onnx
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from subnets.runtime import open_runtime
from subnets.source import open_source
from supernet import SearchSpace
from supernet.heads.embedding import merge_passes
from supernet.pose import DecodeOptions, People, decode

HERE = Path(__file__).resolve().parent
ZOO = ("litepose-xs", "litepose-s", "litepose-m", "litepose-l")
RANDOM = 10
TOLERANCE = 1e-4
THREADS = 1
# Pixels of the half map; a joint that moves by less is the same.
SAME_PLACE = 0.05


def main() -> None:
    """Compare all, print and write the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, source in architectures(Path(folder)):
            row = compare(name, source, Path(folder))
            rows.append(row)
            print(*row.values(), flush=True)
    with (HERE / "equality.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    worst = max(float(row["largest difference"]) for row in rows)
    different = [row["network"] for row in rows if row["people torch"] != row["people same"]]
    print(f"worst difference {worst:.1e} (allowed {TOLERANCE:.0e}); other people: {different or 'nowhere'}")


def architectures(folder: Path) -> list[tuple[str, str]]:
    """Names and files of what is compared."""
    space, rng = SearchSpace.load("litepose"), np.random.default_rng(7)
    found = [(name, name) for name in ZOO]
    for number in range(RANDOM):
        path = folder / f"random-{number}.yaml"
        space.sample(rng).save(path)
        found.append((path.stem, str(path)))
    return found


def compare(name: str, source: str, folder: Path) -> dict[str, object]:
    """Export one architecture and compare outputs and people on every shape."""
    opened = open_source(source)
    net, arch = opened.require_net(), opened.arch
    path = folder / f"{name}.onnx"
    start = time.perf_counter()
    export_onnx(fuse(net), path, Manifest(name, arch.resolution, opened.skeleton, arch=arch.to_dict()))
    seconds = time.perf_counter() - start
    run, reference = open_runtime(path, "onnxruntime", THREADS), open_runtime(net, "torch", THREADS)
    worst, count, same = 0.0, 0, 0
    for images in normal_inputs(comparison_shapes(arch.resolution, None), seed=1):
        found, wanted = run(images), reference(images)
        worst = max(worst, relative_difference(found, wanted))
        threshold = threshold_for(wanted)
        for ours, theirs in zip(
            people(found, opened, threshold), people(wanted, opened, threshold), strict=True
        ):
            count += len(theirs)
            same += matching(ours, theirs)
    return {
        "network": name,
        "resolution": arch.resolution,
        "largest difference": f"{worst:.2e}",
        "people torch": count,
        "people same": same,
        "export s": f"{seconds:.1f}",
        "MB": f"{path.stat().st_size / 1e6:.2f}",
    }


def threshold_for(outputs: list[np.ndarray]) -> float:
    """A heat that leaves a few dozen peaks: random weights know no level of their own."""
    return max(1e-3, float(np.quantile(outputs[1], 0.99)))


def people(outputs: list[np.ndarray], opened: object, threshold: float) -> list[People]:
    """The people in raw outputs, in pixels of the half map."""
    found = []
    for quarter, half in zip(*outputs, strict=True):
        heat, tags = merge_passes([(quarter, half)], opened.skeleton.flip)  # type: ignore[attr-defined]
        options = DecodeOptions(threshold=threshold)
        found += decode(heat[None], tags[None], opened.skeleton, options)  # type: ignore[attr-defined]
    return found


def matching(ours: People, theirs: People) -> int:
    """How many of `theirs` stand at the same rank in `ours` with every joint in the same place."""
    if len(ours) != len(theirs):
        return 0
    apart = np.abs(ours.keypoints[..., :2] - theirs.keypoints[..., :2]).max(axis=(1, 2), initial=0)
    return int((apart < SAME_PLACE).sum())


if __name__ == "__main__":
    main()
