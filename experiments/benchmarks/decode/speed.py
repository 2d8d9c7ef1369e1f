"""Time and AP of grouping at heatmap resolution beside grouping at full image resolution.

    python -m experiments.benchmarks.decode.speed ANNOTATIONS --images 100 --core 1

ANNOTATIONS is a CrowdPose annotation file; only its poses are used. One thread, pinned to one core. For every
image both decoders start from the same raw outputs of the plain and the mirrored pass and end with people in
image coordinates.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from experiments.benchmarks.decode import literal
from experiments.benchmarks.decode.rendered import Noise, Scene, ground_truth, render, scenes
from supernet.heads.embedding import merge_passes
from supernet.pose import DecodeOptions, People, Skeleton, score
from supernet.pose.grouping import decode
from supernet.pose.peaks import find_missing, find_peaks, match, refine_position, sample_tags
from supernet.pose.preprocess import View, to_image
from supernet.pose.results import to_coco_results
from supernet.runs.files import write_json

Passes = list[tuple[np.ndarray, np.ndarray]]
SKELETON = Skeleton.load("crowdpose")


def fast(passes: Passes, view: View) -> People:
    """Raw outputs to people in image coordinates, as `supernet.pose.infer` does it."""
    heat, tags = merge_passes(passes, SKELETON.flip)
    people = decode(heat[None], tags[None], SKELETON, DecodeOptions(matching="hungarian"))[0]
    return to_image(people, view, heat.shape[1:])


def slow(passes: Passes, view: View) -> People:
    """The same at full image resolution."""
    heat, tags = literal.merge(passes, SKELETON, view.size[::-1])
    poses, scores = literal.decode(heat, tags, SKELETON)
    return to_image(People(poses, np.zeros((len(poses), 1)), scores), view, heat.shape[1:])


def breakdown(passes: Passes) -> dict[str, float]:
    """Seconds of each stage of `fast`."""
    options, seconds = DecodeOptions(), {}

    def timed(name: str, stage: Callable[[], Any]) -> Any:
        start = time.thread_time()
        result = stage()
        seconds[name] = time.thread_time() - start
        return result

    heat, tags = timed("merge passes", lambda: merge_passes(passes, SKELETON.flip))
    peaks = timed(
        "peaks", lambda: find_peaks(heat, options.threshold, options.max_people, options.nms_window)
    )
    sampled = timed("tags", lambda: sample_tags(tags, peaks.joint, peaks.row, peaks.column, heat.shape[1:]))
    timed("sub-pixel", lambda: refine_position(heat, peaks))
    timed("matching", lambda: match(peaks.joint, peaks.score, sampled, SKELETON.order, 30, 1.0))
    bare = DecodeOptions(refine=False, matching="hungarian")
    people = decode(heat[None], tags[None], SKELETON, bare)[0]
    missing = people.keypoints[..., 2] == 0
    timed("refinement", lambda: find_missing(heat, tags, missing, people.tags))
    return seconds


def measure(group: list[Scene], noise: Noise, repeats: int) -> dict[str, Any]:
    """CPU ms per image (the fastest of `repeats`, averaged over images) and the metrics of both decoders."""
    found: dict[str, list[People]] = {"fast": [], "slow": []}
    taken: dict[str, list[float]] = {"fast": [], "slow": []}
    stages: list[dict[str, float]] = []
    for index, scene in enumerate(group):
        passes = render(scene, noise, np.random.default_rng([7, len(scene.poses), index]))
        for name, function, times in (("fast", fast, repeats), ("slow", slow, 1)):
            spent = []
            for _ in range(times):
                start = time.thread_time()
                people = function(passes, scene.view)
                spent.append(time.thread_time() - start)
            found[name].append(people)
            taken[name].append(1000 * min(spent))
        stages.append(breakdown(passes))
    truth = ground_truth(group)
    metrics = {
        name: score(truth, to_coco_results(each, range(1, len(group) + 1))) for name, each in found.items()
    }
    return {
        "images": len(group),
        "ms": {name: round(float(np.mean(each)), 2) for name, each in taken.items()},
        "ms_median": {name: round(float(np.median(each)), 2) for name, each in taken.items()},
        "people_found": round(float(np.mean([len(people) for people in found["fast"]])), 2),
        "AP": {name: round(each["AP"], 4) for name, each in metrics.items()},
        "stages_ms": {
            key: round(1000 * float(np.mean([each[key] for each in stages])), 2) for key in stages[0]
        },
    }


def main() -> None:
    """Measure, print, and write speed.json beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--people", type=int, nargs="+", default=[2, 6, 15])
    parser.add_argument("--images", type=int, nargs="+", default=[100])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("speed.json"))
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    cv2.setNumThreads(1)
    annotations = json.loads(arguments.annotations.read_text())
    counts = arguments.images * len(arguments.people) if len(arguments.images) == 1 else arguments.images
    results = {}
    for people, count in zip(arguments.people, counts, strict=True):
        results[str(people)] = measure(scenes(annotations, people, count, 0), Noise(), arguments.repeats)
        print(people, json.dumps(results[str(people)]), flush=True)
    versions = {"numpy": np.__version__, "opencv": cv2.__version__}
    write_json(arguments.out, {"schema": 1, "threads": 1, "versions": versions, "groups": results})


if __name__ == "__main__":
    main()
