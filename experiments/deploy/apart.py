"""Why a runtime's people differ from torch's where its maps differ in the last digits alone.

    PYTHONPATH=. python experiments/deploy/apart.py runs/export/FOLDER OTHER [OTHER ...] --name NAME

FOLDER is an export of fixed shape that ends in maps; OTHER what `subnets.compare other=` takes on the
rendered test split: a file that runs here, or outputs (.npz) of `elsewhere.py`; or `noise:1e-6`, torch's maps
with evenly spread noise of up to so much of the largest value: what any runtime may come to that is so far
off. Grouping is taken apart into its decisions, in their order: which pixels are peaks and how they rank,
which persons they join, where a missed joint is found, how people rank. Told are

- for every picture whose people differ the first decision that differs, its margin (how far the numbers it
  compares are from the other outcome) beside the difference of the maps, and what becomes of the people;
- for every rule of matching, in how many pictures the people are the same, and the AP;
- with torch's maps alone, in how many pictures some decision's margin is below a given difference: that many
  may differ in any runtime, whatever the last digits are.

Rows go to apart.json beside this file, one per name; runtimes that are measured later join those of before.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from experiments.deploy.grouping import SHIPPED
from subnets.compare import (
    CompareCommand,
    Found,
    Picture,
    network_and_split,
    outputs_from,
    pictures_of_split,
    same_people,
)
from subnets.export.formats import relative_difference
from subnets.portable.manifest import Manifest, outputs_of
from subnets.portable.predictor import Predictor
from supernet.data.source import data_from
from supernet.heads.embedding import merge_passes
from supernet.pose import DecodeOptions, Skeleton, bootstrap_ap, to_coco_results
from supernet.pose.peaks import RULES, find_missing, find_peaks, match, sample_tags
from supernet.runs.environment import environment
from supernet.runs.files import read_json, read_yaml, write_json

RECORD = Path(__file__).resolve().parent / "apart.json"
SAMPLES = 200
DIFFERENCES = (1e-7, 1e-6, 1e-5, 1e-4)
NOISE = "noise:"
# That are told one by one, of each runtime.
PICTURES = 30
STEPS = ("peaks", "persons", "missed joints", "ranks of people")


@dataclass
class Decisions:
    """What grouping decided for one picture, and how narrowly; margins are in heat or in tag distance.

    Attributes:
        taken: by step, its outcome in a form that can be compared.
        margins: by step, of all its decisions.
    """

    taken: dict[str, list[Any]] = field(default_factory=lambda: {step: [] for step in STEPS})
    margins: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})


def decide(outputs: dict[str, Any], skeleton: Skeleton, options: DecodeOptions) -> Decisions:
    """The decisions of `supernet.pose.decode` on the maps of one picture."""
    found = Decisions()
    passes = [[outputs["quarter"][0], outputs["half"][0]]]
    heat_jhw, tags_jhwt = merge_passes(passes, skeleton.flip)
    peaks = find_peaks(heat_jhw, options.threshold, options.max_people, options.nms_window)
    for joint in range(len(heat_jhw)):
        mine = peaks.joint == joint
        found.taken["peaks"].append(list(zip(peaks.row[mine], peaks.column[mine], strict=True)))
        found.margins["peaks"] += _peak_margins(heat_jhw[joint], peaks.score[mine], options)
    tags_nt = sample_tags(tags_jhwt, peaks.joint, peaks.row, peaks.column, heat_jhw.shape[1:])
    rule = RULES.get(options.matching)

    def watched(distance: Any, score: Any, threshold: float) -> Any:
        pairs = rule(distance, score, threshold)
        found.taken["persons"].append([each.tolist() for each in pairs])
        near = np.abs(distance - threshold).ravel()
        if options.matching != "first":
            near = np.concatenate([near, np.abs(distance - np.floor(distance) - 0.5).ravel()])
        found.margins["persons"] += near.tolist()
        return pairs

    person_n = match(
        peaks.joint, peaks.score, tags_nt, skeleton.order, options.max_people, options.tag_threshold, watched
    )
    _missed(found, heat_jhw, tags_jhwt, tags_nt, peaks, person_n)
    return found


def _peak_margins(heat_hw: Any, score: Any, options: DecodeOptions) -> list[float]:
    """Gaps between ranks, to the threshold, and to the highest neighbours."""
    import cv2

    reach = options.nms_window // 2
    around = np.pad(heat_hw, reach, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(around, (options.nms_window,) * 2).reshape(
        *heat_hw.shape, -1
    )
    second = np.partition(around, -2, axis=-1)[..., -2]
    highest = cv2.dilate(heat_hw, np.ones((options.nms_window,) * 2, np.uint8))
    # Where a pixel is the highest around, or the second, it is a peak by that gap.
    near = (heat_hw >= second) & (highest > options.threshold)
    gap = np.where(heat_hw >= highest, heat_hw - second, highest - heat_hw)[near]
    ranks = -np.diff(np.sort(score)[::-1])
    floor = np.abs(heat_hw[heat_hw >= highest] - options.threshold)
    return [*gap.tolist(), *ranks.tolist(), *floor.tolist()]


def _missed(found: Decisions, heat_jhw: Any, tags_jhwt: Any, tags_nt: Any, peaks: Any, person_n: Any) -> None:
    """Add where missed joints are found, and how people rank."""
    count = int(person_n.max(initial=-1)) + 1
    if not count:
        return
    present_pj = np.zeros((count, len(heat_jhw)), bool)
    scores_pj = np.zeros((count, len(heat_jhw)))
    present_pj[person_n, peaks.joint] = True
    scores_pj[person_n, peaks.joint] = peaks.score
    tags_pt = np.zeros((count, tags_nt.shape[1]))
    np.add.at(tags_pt, person_n, tags_nt)
    tags_pt /= np.bincount(person_n, minlength=count)[:, None]
    scores = scores_pj.mean(axis=1)
    order = np.argsort(-scores, kind="stable")
    found.taken["ranks of people"].append(order.tolist())
    found.margins["ranks of people"] += (-np.diff(scores[order])).tolist()
    tags = tags_pt.astype(np.float32)
    places = find_missing(heat_jhw, tags_jhwt, ~present_pj, tags)
    found.taken["missed joints"].append([each.tolist() for each in places])
    factor = heat_jhw.shape[1] // tags_jhwt.shape[1]
    cells = heat_jhw.reshape(len(heat_jhw), tags_jhwt.shape[1], factor, -1, factor).max(axis=(2, 4))
    for person, joint in zip(*np.nonzero(~present_pj), strict=True):
        distance = np.sqrt(((tags_jhwt[joint] - tags[person]) ** 2).sum(axis=2))
        value = cells[joint] - np.round(distance)
        best = value.max()
        first, second = np.sort(value.ravel())[-2:][::-1]
        # Of cells that could win if their distance were rounded the other way, the nearest to a half.
        other = cells[joint] - np.where(distance % 1 < 0.5, np.floor(distance) + 1, np.floor(distance))
        half = np.abs(distance - np.floor(distance) - 0.5)
        able = (other > best) | (value == best)
        found.margins["missed joints"] += [float(first - second), float(half[able].min())]


def first_difference(ours: Decisions, theirs: Decisions) -> tuple[str, float | None]:
    """The first step that was decided otherwise, and the smallest margin of its decisions.

    Where none was, a joint is more than 0.1 pixels away by the parabola through its pixels alone.
    """
    for step in STEPS:
        if ours.taken[step] != theirs.taken[step]:
            return step, min(ours.margins[step])
    return "positions", None


def told(ours: Any, theirs: Any) -> dict[str, Any]:
    """How the people of a picture differ: as a set, and by joints."""
    same = ours.keypoints.shape == theirs.keypoints.shape
    row: dict[str, Any] = {"people": [len(ours), len(theirs)]}
    if same:
        away = np.abs(ours.keypoints[..., :2] - theirs.keypoints[..., :2]).max(axis=2)
        given = (ours.keypoints[..., 2] > 0) != (theirs.keypoints[..., 2] > 0)
        joints = (away > 0.1) | given
        row["joints that differ"] = int(joints.sum())
        row["of"] = int(joints.size)
        row["people that differ"] = int(joints.any(axis=1).sum())
        row["their best score"] = round(float(ours.scores[joints.any(axis=1)].max(initial=0)), 3)
        row["largest, pixels"] = round(float(away.max(initial=0)), 1)
    apart = np.abs(ours.keypoints[:, None, :, :2] - theirs.keypoints[None, :, :, :2])
    near = (apart.max(axis=(2, 3)) <= 0.1).any(axis=1)
    row["people without an equal anywhere"] = int((~near).sum())
    return row


def noisy(text: str) -> Found:
    """Outputs of torch with the noise that `noise:SIZE` asks for, drawn per picture."""
    size = float(text.removeprefix(NOISE))

    def found(picture: Picture) -> dict[str, Any]:
        rng = np.random.default_rng([int(picture.number), round(1 / size)])
        return {
            name: value + (size * np.abs(value).max() * rng.uniform(-1, 1, value.shape)).astype(np.float32)
            for name, value in picture.outputs.items()
        }

    return found


def measure(folder: str, others: list[str], images: int | None) -> dict[str, Any]:
    """All that the script tells, of an exported folder and what other runtimes made of the pictures."""
    data = data_from(read_yaml(Path(folder) / "config.yaml")["data"])
    config = CompareCommand(folder=folder, other=others[0], split="test", images=images, data=data)
    opened, dataset = network_and_split(config)
    with np.load(Path(folder) / "vectors.npz") as vectors:
        manifest = Manifest.from_json(str(vectors["manifest"]), folder)
    names, kept = list(outputs_of(manifest)), list[Any]()
    by_rule = {
        rule: Predictor.of(lambda images: kept, manifest, DecodeOptions(matching=rule)) for rule in SHIPPED
    }
    sources = {
        path: noisy(path) if path.startswith(NOISE) else outputs_from(Path(path), names, 1) for path in others
    }
    options = DecodeOptions(matching=manifest.matching)
    ids = [record.image_id for record in dataset.records]
    people: dict[tuple[str, str], list[Any]] = {}
    rows: list[dict[str, Any]] = []
    closest: dict[str, list[float]] = {step: [] for step in STEPS}
    largest = {Path(path).name: 0.0 for path in others}
    for picture in pictures_of_split(opened, manifest, names, dataset):
        ours = decide(dict(picture.outputs), manifest.skeleton, options)
        for step in STEPS:
            closest[step].append(min(ours.margins[step], default=np.inf))
        for path, given in {"torch": lambda each: each.outputs, **sources}.items():
            outputs = given(picture)
            kept[:] = [outputs[name] for name in names]
            for rule, predictor in by_rule.items():
                people.setdefault((path, rule), []).append(predictor(picture.image))
            if path != "torch":
                far = max(relative_difference([outputs[name]], [picture.outputs[name]]) for name in names)
                largest[Path(path).name] = max(largest[Path(path).name], far)
            mine, other = people["torch", manifest.matching][-1], people[path, manifest.matching][-1]
            if same_people(other, mine):
                continue
            step, margin = first_difference(ours, decide(dict(outputs), manifest.skeleton, options))
            maps = max(float(np.abs(outputs[name] - picture.outputs[name]).max()) for name in names)
            row = {"runtime": Path(path).name, "picture": picture.number, "first": step}
            rows.append({**row, "margin": margin, "maps": maps, **told(mine, other)})
            print(json.dumps(rows[-1]), flush=True)
    result: dict[str, Any] = {
        "images": len(ids),
        "rule": manifest.matching,
        "largest": largest,
        "pictures": _first(rows),
        "rules": {},
    }
    result["decided otherwise"] = {
        name: dict(Counter(row["first"] for row in rows if row["runtime"] == name)) for name in largest
    }
    for (path, rule), found in people.items():
        if path == "torch":
            continue
        both = (("own", people["torch", rule]), ("other", found))
        pair = {name: to_coco_results(each, ids) for name, each in both}
        drawn = bootstrap_ap(
            dataset.ground_truth(), pair, dataset.protocol, samples=SAMPLES, skeleton=dataset.skeleton
        )
        same = sum(same_people(*each) for each in zip(found, people["torch", rule], strict=True))
        change = drawn.differences["own", "other"]
        result["rules"].setdefault(rule, {})[Path(path).name] = {
            "same": same,
            "AP": round(drawn.metrics["own"].value, 4),
            "difference": [round(value, 6) for value in (change.value, change.low, change.high)],
        }
    result["pictures with a margin below"] = {
        step: {f"{limit:g}": int((np.array(values) < limit).sum()) for limit in DIFFERENCES}
        for step, values in closest.items()
    }
    return result


def _first(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first `PICTURES` of every runtime."""
    seen: Counter[str] = Counter()
    kept = []
    for row in rows:
        seen[row["runtime"]] += 1
        if seen[row["runtime"]] <= PICTURES:
            kept.append(row)
    return kept


def joined(before: dict[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    """`row` with the runtimes that only the row of before has."""
    if before is None:
        return row
    now = {name for found in row["rules"].values() for name in found}
    kept = [each for each in before["pictures"] if each["runtime"] not in now]
    rules = {rule: {**before["rules"].get(rule, {}), **found} for rule, found in row["rules"].items()}
    for key in ("largest", "decided otherwise"):
        row[key] = before[key] | row[key]
    return {**row, "pictures": [*kept, *row["pictures"]], "rules": rules}


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", help="an export of fixed shape that ends in maps")
    parser.add_argument("others", nargs="+", help="files that run here, or outputs of elsewhere.py (.npz)")
    parser.add_argument("--images", type=int, help="the first so many of the test split")
    parser.add_argument("--name", required=True, help="of the row")
    parser.add_argument("--out", type=Path, default=RECORD)
    arguments = parser.parse_args()
    row = {**measure(arguments.folder, arguments.others, arguments.images), "environment": environment(1)}
    record = read_json(arguments.out) if arguments.out.exists() else {"networks": {}}
    record["networks"][arguments.name] = joined(record["networks"].get(arguments.name), row)
    write_json(arguments.out, record)
    print(
        json.dumps({key: row[key] for key in ("largest", "rules", "pictures with a margin below")}, indent=1)
    )


if __name__ == "__main__":
    main()
