"""decode.h beside Python: the same people, what it survives, and how much faster it is.

    python experiments/deploy/decoder.py --fuzz 10000 --arch largest --supernet runs/train/demo --images 250

Compiles the header with the sanitizers for every rule and gives it so many random maps (ties, not-a-numbers,
infinities, no peaks, 10,000 peaks); then the network's outputs for the first images of the test split, whose
people must be Python's (same order, joints within 1e-3 pixels). Times are the processor's of one thread, the
fastest of three calls of each, interleaved, on the first 50 images. Writes decoder.json beside this file.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import subprocess
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from experiments.deploy.c_decoder import MAPS, OUTPUTS, STRICT, Decoder, compiler, crowded, wild
from subnets.console import SourceOptions
from subnets.runtime import torch_runtime
from subnets.source import open_source
from supernet.data.source import data_from, open_split
from supernet.evaluation import Evaluator
from supernet.heads.embedding import merge_passes
from supernet.options import EvaluationOptions
from supernet.pose import DecodeOptions, People, Skeleton, decode
from supernet.pose.inference import run_passes
from supernet.pose.preprocess import normalise
from supernet.runs.environment import environment
from supernet.runs.files import read_yaml, write_json

RECORD = Path(__file__).resolve().parent / "decoder.json"
RULES = ("hungarian", "greedy", "first")
TIMED = 50
SKELETON = Skeleton.load("crowdpose")
SHARED = """
#include "decode.h"
static lp_state state;
static lp_person people[LP_PEOPLE];
int run(const float *quarter, const float *half, int height, int width, float *heat)
{
    return lp_decode_maps(quarter, half, height, width, heat, &state, people);
}
"""


def same(found: People | None, wanted: People) -> bool:
    """Whether both are the same people in the same order."""
    if found is None or len(found) != len(wanted):
        return False
    near = np.allclose(found.keypoints, wanted.keypoints, atol=1e-3, rtol=0, equal_nan=True)
    return near and np.allclose(found.scores, wanted.scores, atol=1e-6)


def fuzz(decoder: Decoder, rule: str, count: int) -> int:
    """How many of `count` random maps give other people than in Python; a fault ends the program."""
    different = 0
    for start in range(0, count, 500):
        rng = np.random.default_rng([start, 5])
        cases = [wild(rng) for _ in range(min(500, count - start) - 1)] + [crowded(rng)]
        found = decoder((MAPS, case) for case in cases)
        for (heat, tags), people in zip(cases, found, strict=True):
            options = DecodeOptions(matching=rule)
            different += not same(people, decode(heat[None], tags[None, ..., None], options=options)[0])
    return different


def in_python(outputs: list[np.ndarray], options: DecodeOptions) -> People:
    """The people on the heatmap."""
    heat, tags = merge_passes([outputs], SKELETON.flip)
    return decode(heat[None], tags[None], SKELETON, options)[0]


def timed(outputs: list[np.ndarray], options: DecodeOptions, library: Any) -> tuple[float, float]:
    """Milliseconds of Python and of C, the fastest of three."""
    quarter, half = (np.ascontiguousarray(each) for each in outputs)
    heat = np.empty_like(half)
    pointers = [each.ctypes.data_as(ctypes.c_void_p) for each in (quarter, half)]
    target = heat.ctypes.data_as(ctypes.c_void_p)
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        begin = time.thread_time()
        in_python(outputs, options)
        middle = time.thread_time()
        library.run(*pointers, half.shape[1], half.shape[2], target)
        spent[0].append(middle - begin)
        spent[1].append(time.thread_time() - middle)
    return 1000 * min(spent[0]), 1000 * min(spent[1])


def maps_of(arguments: argparse.Namespace) -> list[list[np.ndarray]]:
    """The network's outputs for the first images of the test split."""
    data = data_from(read_yaml(Path(arguments.supernet) / "config.yaml")["data"])
    opened = open_source(arguments.arch, SourceOptions(supernet=arguments.supernet)).require_trained()
    run = torch_runtime(opened.require_net(), 1)
    evaluator = Evaluator(open_split(data, "test"), EvaluationOptions(images=arguments.images, memory=0))
    return [
        run_passes(run, normalise([item.views[0].pixels]), opened.head, SKELETON, False)[0][0]
        for item in evaluator.prepared(opened.arch.resolution)
    ]


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fuzz", type=int, default=10_000, help="random maps per rule")
    parser.add_argument("--arch", default="largest")
    parser.add_argument("--supernet", required=True, help="training run of 14 joints")
    parser.add_argument("--images", type=int, default=250)
    parser.add_argument("--out", type=Path, default=RECORD)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", RuntimeWarning)  # infinities less infinities
    maps = maps_of(arguments)
    version = subprocess.run([str(compiler()), "--version"], capture_output=True, text=True).stdout
    record: dict[str, Any] = {"environment": environment(1), "compiler": version.splitlines()[0], "rules": {}}
    for rule in RULES:
        options = DecodeOptions(matching=rule)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            decoder = Decoder(folder, SKELETON, options)
            (folder / "shared.c").write_text(SHARED)
            words = "-O2 -fPIC -shared shared.c -o shared.so -lm"
            subprocess.run([str(compiler()), *STRICT, *words.split()], cwd=folder, check=True)
            library = ctypes.CDLL(str(folder / "shared.so"))
            found = decoder((OUTPUTS, outputs) for outputs in maps)
            equal = sum(map(same, found, (in_python(outputs, options) for outputs in maps)))
            python, c = np.mean([timed(outputs, options, library) for outputs in maps[:TIMED]], axis=0)
            record["rules"][rule] = {
                "random maps": arguments.fuzz,
                "of them with other people": fuzz(decoder, rule, arguments.fuzz),
                "images": len(maps),
                "of them with the same people": equal,
                "people per image": round(float(np.mean([len(each or ()) for each in found])), 1),
                "map": list(maps[0][1].shape[1:]),
                "ms in Python": round(float(python), 3),
                "ms in C": round(float(c), 3),
                "times faster": round(float(python / c), 1),
            }
        print(rule, json.dumps(record["rules"][rule], indent=1), flush=True)
        write_json(arguments.out, record)


if __name__ == "__main__":
    main()
