"""RAM by this toolkit's plan of live maps beside what Arm's Vela allocates, of random subnets.

    python experiments/deploy/vela.py VELA            # the program of `pip install ethos-u-vela`

Needs the extra `litepose-ofa[tflite]`: every subnet, with random weights, is written in integers for a fixed
square and compiled for an Ethos-U55. Writes vela.csv beside this file.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from subnets import build
from subnets.export.formats import Job, normal_inputs
from subnets.export.mobile import write_tflite, write_tflite_int8
from subnets.network import fused_network
from subnets.portable.manifest import Manifest
from supernet.evaluation import calibrate_by
from supernet.family import Architecture
from supernet.memory import peak_memory
from supernet.pose import Skeleton
from supernet.space import SearchSpace

SKELETON = Skeleton.load("crowdpose")
COUNTS = {"demo": 2, "nano": 2, "photographs": 2, "tiny": 6, "litepose": 4}
PRECISIONS = ("int8", "ethos_u")
SETTINGS = {
    "vela_layer_by_layer": ("--optimise", "Size", "--disable-cascading"),
    "vela_size": ("--optimise", "Size"),
    "vela_performance": ("--optimise", "Performance"),
}


def integers(arch: Architecture, folder: Path) -> Path:
    """The subnet as a TFLite file of integers alone; what it finds does not matter."""
    side = arch.resolution
    net = build(arch, num_joints=SKELETON.num_joints, seed=0)
    net.skeleton = SKELETON
    images = torch.from_numpy(normal_inputs([(2, 3, side, side)])[0])
    calibrate_by(net, net, [images])
    manifest = Manifest("random", side, SKELETON, input_shape=(side, side), step=16)
    job = Job(net.eval(), fused_network(net), manifest, folder, lambda: [images[:1].numpy()])
    write_tflite(job, folder / "model.tflite", {})
    write_tflite_int8(job, folder / "model_int8.tflite", {})
    return folder / "model_int8.tflite"


def allocated(vela: str, model: Path, options: tuple[str, ...]) -> int:
    """Bytes of SRAM that Vela allocates."""
    with tempfile.TemporaryDirectory() as folder:
        command = [vela, str(model), "--accelerator-config", "ethos-u55-128", "--output-dir", folder]
        subprocess.run([*command, *options], check=True, capture_output=True)
        (summary,) = Path(folder).glob("*summary*.csv")
        with summary.open() as stream:
            (row,) = csv.DictReader(stream)
    return round(1024 * float(row["sram_memory_used"]))


def main() -> None:
    """Write a row per subnet as soon as it is there."""
    (vela,) = sys.argv[1:]
    with Path(__file__).with_name("vela.csv").open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow(["space", "number", "resolution", *PRECISIONS, *SETTINGS])
        for name, count in COUNTS.items():
            space, rng = SearchSpace.load(name), np.random.default_rng(0)
            for number in range(count):
                arch = space.sample(rng)
                shape = arch.input_shape
                planned = [peak_memory(arch, SKELETON.num_joints, each, shape) for each in PRECISIONS]
                with tempfile.TemporaryDirectory() as folder:
                    model = integers(arch, Path(folder))
                    found = [allocated(vela, model, options) for options in SETTINGS.values()]
                rows.writerow([name, number, arch.resolution, *planned, *found])
                stream.flush()


if __name__ == "__main__":
    main()
