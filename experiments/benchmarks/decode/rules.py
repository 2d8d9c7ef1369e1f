"""Which rule makes the difference between grouping at heatmap resolution and at full image resolution.

    python -m experiments.benchmarks.decode.rules ANNOTATIONS --images 200 200 100

Starts from the literal decoder at full resolution and changes one rule at a time, then all of them one after
the other until the decoder of the toolkit is reached. AP only; every variant sees the same maps.
"""

from __future__ import annotations

import argparse
import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np

from experiments.benchmarks.decode import literal
from experiments.benchmarks.decode.rendered import Noise, ground_truth, render, scenes
from experiments.benchmarks.decode.speed import SKELETON, fast, slow
from supernet.heads.embedding import merge_passes
from supernet.pose import DecodeOptions, People, score
from supernet.pose.bootstrap import bootstrap_ap
from supernet.pose.grouping import decode
from supernet.pose.peaks import Peaks, find_missing, refine_position
from supernet.pose.preprocess import View, to_image
from supernet.pose.results import to_coco_results
from supernet.runs.files import write_json

Maps = tuple[np.ndarray, np.ndarray]
CHECKED = 3  # images on which the variants are held against the two decoders themselves


@dataclass(frozen=True)
class Rules:
    """How one variant decodes.

    Attributes:
        peaks: "full" or "half", the resolution at which peaks are found and grouped.
        window: of the suppression, in pixels of that resolution.  most: peaks per joint, and people.
        shift: "quarter" pixel, or "parabola" through three pixels.
        heat: resolution of the heatmaps in which missing joints are looked for; None looks for none.
        tags: "enlarged" to that resolution, or "own": one tag per pixel of the tag map.
    """

    peaks: str = "full"
    window: int = 5
    most: int = 30
    shift: str = "quarter"
    heat: str | None = "full"
    tags: str = "enlarged"


FULL = Rules()
SINGLE = {
    "suppression window 3 instead of 5": replace(FULL, window=3),
    "suppression window 7": replace(FULL, window=7),
    "60 peaks and people instead of 30": replace(FULL, most=60),
    "parabola instead of quarter pixel": replace(FULL, shift="parabola"),
    "refinement reads tags as they are, not enlarged": replace(FULL, tags="own"),
    "refinement in half-resolution heatmaps": replace(FULL, heat="half"),
    "peaks and grouping at half resolution": replace(FULL, peaks="half", window=3),
}
CHAIN = {
    "full resolution": FULL,
    "+ parabola": replace(FULL, shift="parabola"),
    "+ tags as they are": replace(FULL, shift="parabola", tags="own"),
    "+ refinement in half-resolution heatmaps": replace(FULL, shift="parabola", tags="own", heat="half"),
    "+ peaks at half resolution: here": Rules("half", 3, 30, "parabola", "half", "own"),
}
BARE = {
    "full resolution, no refinement": replace(FULL, heat=None),
    "here, no refinement": Rules("half", 3, 30, "parabola", None, "own"),
}


def quarter_shift(heat: np.ndarray, peaks: Peaks) -> np.ndarray:
    """Continuous x, y (N, 2): a quarter pixel towards the higher neighbour, as in `literal`."""
    height, width = heat.shape[1:]
    j, row, column = peaks.joint, peaks.row, peaks.column
    right = heat[j, row, np.minimum(column + 1, width - 1)] > heat[j, row, np.maximum(column - 1, 0)]
    down = heat[j, np.minimum(row + 1, height - 1), column] > heat[j, np.maximum(row - 1, 0), column]
    places = [column + np.where(right, 0.75, 0.25), row + np.where(down, 0.75, 0.25)]
    return np.stack(places, axis=-1).astype(np.float32)


SHIFTS = {"quarter": quarter_shift, "parabola": refine_position}


class Image:
    """One image's maps at both resolutions, and what the variants share."""

    def __init__(self, passes: list[Maps], view: View) -> None:
        heat, tags = merge_passes(passes, SKELETON.flip)
        full_heat, full_tags = literal.merge(passes, SKELETON, view.size[::-1])
        enlarged = [literal.enlarge(tags[..., k], heat.shape[:0:-1]) for k in range(tags.shape[-1])]
        self.view = view
        self.own_tags = tags
        self.heat = {"half": heat, "full": full_heat}
        self.tags = {"half": np.stack(enlarged, axis=-1), "full": full_tags}

    def people(self, rules: Rules) -> People:
        """The people in image coordinates."""
        heat = self.heat[rules.peaks]
        tags = self.own_tags if rules.peaks == "half" else self.tags["full"]
        options = DecodeOptions(
            max_people=rules.most, nms_window=rules.window, refine=False, matching="hungarian"
        )
        with mock.patch("supernet.pose.grouping.refine_position", SHIFTS[rules.shift]):
            found = decode(heat[None], tags[None], SKELETON, options)[0]
        if rules.heat is None:
            return to_image(found, self.view, heat.shape[1:])
        searched = self.heat[rules.heat]
        found = found.moved(searched.shape[1] / heat.shape[1], (0, 0))
        tags = self.own_tags if rules.tags == "own" else self.tags[rules.heat]
        missing = found.keypoints[..., 2] == 0
        person, joint, row, column = find_missing(searched, tags, missing, found.tags)
        peaks = Peaks(joint, column, row, searched[joint, row, column])
        found.keypoints[person, joint, :2] = SHIFTS[rules.shift](searched, peaks)
        found.keypoints[person, joint, 2] = peaks.score
        return to_image(found, self.view, searched.shape[1:])


def same(one: People, other: People) -> bool:
    """Whether both found the same people (in whatever order)."""
    ranked = [people.select(np.argsort(-people.scores, kind="stable")) for people in (one, other)]
    return len(one) == len(other) and np.allclose(ranked[0].keypoints, ranked[1].keypoints, atol=1e-3)


def measure(annotations: dict[str, Any], people: int, count: int) -> dict[str, Any]:
    """AP of every variant, and paired 95% intervals of the steps."""
    variants = {**SINGLE, **CHAIN, **BARE}
    group = scenes(annotations, people, count, 0)
    found: dict[str, list[People]] = {name: [] for name in variants}
    for index, scene in enumerate(group):
        passes = render(scene, Noise(), np.random.default_rng([7, len(scene.poses), index]))
        image = Image(passes, scene.view)
        for name, rules in variants.items():
            found[name].append(image.people(rules))
        if index < CHECKED:
            assert same(found["full resolution"][-1], slow(passes, scene.view))
            assert same(found[list(CHAIN)[-1]][-1], fast(passes, scene.view))
    truth = ground_truth(group)
    results = {name: to_coco_results(each, range(1, count + 1)) for name, each in found.items()}
    ap = {name: score(truth, each)["AP"] for name, each in results.items()}
    links, steps = list(CHAIN), {}
    wanted = [*itertools.pairwise(links), (links[0], links[-1]), (*BARE,)]
    drawn = bootstrap_ap(truth, {name: results[name] for name in [*CHAIN, *BARE]}, samples=500)
    for pair in wanted:
        interval = drawn.differences[pair]
        steps[" -> ".join(pair)] = [round(v, 4) for v in (interval.value, interval.low, interval.high)]
    return {
        "images": count,
        "AP": {name: round(value, 4) for name, value in ap.items()},
        "one rule changed": {name: round(ap[name] - ap[links[0]], 4) for name in SINGLE},
        "difference, low, high": steps,
    }


def main() -> None:
    """Measure, print, and write rules.json beside this file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--people", type=int, nargs="+", default=[2, 6, 15])
    parser.add_argument("--images", type=int, nargs="+", default=[200, 200, 100])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("rules.json"))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    annotations = json.loads(arguments.annotations.read_text())
    groups = {}
    for people, count in zip(arguments.people, arguments.images, strict=True):
        groups[str(people)] = measure(annotations, people, count)
        print(people, json.dumps(groups[str(people)], indent=1), flush=True)
    versions = {"numpy": np.__version__, "opencv": cv2.__version__}
    write_json(arguments.out, {"schema": 1, "versions": versions, "groups": groups})


if __name__ == "__main__":
    main()
