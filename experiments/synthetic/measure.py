"""What `data=synthetic` draws: time, statistics, a contact sheet, and real crowds beside rendered ones.

    python experiments/synthetic/measure.py [--poses crowdpose_val.json] [--root FOLDER]

Writes result.json, scenes.png and, with --poses, crowds.png and crowd_index.png beside this file. The sets
themselves go to --root (a temporary folder by default).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from PIL import Image

from supernet.data.opening import load_crowdpose
from supernet.data.synthetic.dataset import SyntheticOptions, ensure
from supernet.pose.skeletons import Skeleton

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent
SPLITS = ("train", "val", "test")
EDGES = Skeleton.load("crowdpose").edges
# BGR: left red, right blue, middle white.
COLOURS = {"left": (60, 60, 255), "right": (255, 150, 30), "middle": (255, 255, 255)}


def statistics(root: Path, split: str) -> dict[str, Any]:
    """The figures of one split."""
    records = load_crowdpose(root, split).records
    people = np.array([r.num_people for r in records])
    index = np.array([r.crowd_index for r in records])
    heights = np.concatenate([r.boxes[:, 3] / r.height for r in records])
    flags = np.bincount(
        np.concatenate([r.keypoints[..., 2].ravel() for r in records]).astype(int), minlength=3
    )
    return {
        "images": len(records),
        "people": int(people.sum()),
        "images_by_people": np.bincount(people)[1:].tolist(),
        "share_3_or_more": round(float((people >= 3).mean()), 3),
        "easy": round(float((index < 0.2).mean()), 3),
        "medium": round(float(((index >= 0.2) & (index < 0.8)).mean()), 3),
        "hard": round(float((index >= 0.8).mean()), 3),
        "crowd_index_mean_max": [round(float(index.mean()), 3), float(index.max())],
        "height_percentiles_0_5_50_95_100": np.percentile(heights, [0, 5, 50, 95, 100]).round(3).tolist(),
        "joints_unlabelled_hidden_seen": (flags / flags.sum()).round(3).tolist(),
    }


def timed(root: Path, options: SyntheticOptions) -> dict[str, Any]:
    """Render a set; wall and processor seconds."""
    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    ensure(root, options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    images = options.train + options.val + options.test
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    return {
        "images": images,
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_ms_per_image": round(1000 * cpu / images, 1),
        "megabytes": round(size / 1e6, 1),
        "load_average": round(os.getloadavg()[0], 1),
    }


def tile(root: Path, record: Any, joints: bool, width: int, height: int) -> np.ndarray[Any, Any]:
    """One image, with or without joints, fitted into a tile."""
    picture = cv2.imread(str(root / "images" / record.file_name))
    scale = min(width / record.width, height / record.height)
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    skeleton = Skeleton.load("crowdpose")
    for keypoints in record.keypoints if joints else ():
        points = [(round(float(x * scale)), round(float(y * scale))) for x, y, _ in keypoints]
        for a, b in EDGES:
            if keypoints[a, 2] and keypoints[b, 2]:
                cv2.line(picture, points[a], points[b], (0, 220, 255), 1, cv2.LINE_AA)
        for j, point in enumerate(points):
            if keypoints[j, 2]:
                filled = -1 if keypoints[j, 2] == 2 else 1
                cv2.circle(picture, point, 2, COLOURS[skeleton.side(j)], filled, cv2.LINE_AA)
    out = np.full((height, width, 3), 255, np.uint8)
    y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    out[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    return out


def sheet(root: Path, split: str, target: Path, columns: int = 6, rows: int = 4) -> None:
    """A contact sheet: each row of pictures, then the same with joints."""
    records = load_crowdpose(root, split).records
    lines = []
    for row in range(rows // 2):
        mine = records[row * columns : (row + 1) * columns]
        for joints in (False, True):
            lines.append(np.hstack([tile(root, r, joints, 190, 180) for r in mine]))
    picture = Image.fromarray(np.vstack(lines)[..., ::-1])
    # A palette keeps the file small.
    picture.quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def crowd_indices(document: Path) -> np.ndarray[Any, Any]:
    return np.array([image["crowdIndex"] for image in json.loads(document.read_text())["images"]])


def compare(poses: Path, root: Path) -> dict[str, Any]:
    """The crowdIndex of a real file's images and of the set drawn from its people."""
    real = crowd_indices(poses)
    drawn = np.concatenate([crowd_indices(root / "json" / f"crowdpose_{s}.json") for s in SPLITS])
    plt.figure(figsize=(6, 3.2))
    bins = np.linspace(0, 2, 41)
    plt.hist([real.clip(0, 2), drawn.clip(0, 2)], bins, label=["real annotations", "rendered from them"])
    for edge in (0.2, 0.8):
        plt.axvline(edge, color="grey", linewidth=0.8, linestyle="--")
    plt.xlabel("crowdIndex (easy < 0.2 <= medium < 0.8 <= hard)")
    plt.ylabel("images")
    plt.legend()
    plt.tight_layout()
    plt.savefig(HERE / "crowd_index.png", dpi=100)
    grid = np.unique(np.concatenate([real, drawn]))
    cumulated = [np.searchsorted(np.sort(v), grid, side="right") / len(v) for v in (real, drawn)]

    def row(values: np.ndarray[Any, Any]) -> dict[str, float]:
        shares = [(values < 0.2).mean(), ((values >= 0.2) & (values < 0.8)).mean(), (values >= 0.8).mean()]
        quantiles = np.percentile(values, [25, 50, 75, 95]).round(3)
        names = ("easy", "medium", "hard", "p25", "p50", "p75", "p95")
        out = dict(zip(names, (round(float(v), 3) for v in (*shares, *quantiles)), strict=True))
        return {"images": len(values), **out}

    distance = round(float(np.abs(cumulated[0] - cumulated[1]).max()), 4)
    return {"real": row(real), "rendered": row(drawn), "kolmogorov_smirnov": distance}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--poses", type=Path, help="CrowdPose annotation file to draw crowds from")
    parser.add_argument("--root", type=Path, help="where the sets go (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.root or Path(temporary)
        options = SyntheticOptions()
        result: dict[str, Any] = {
            "schema": 1,
            "machine": f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}",
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "opencv": cv2.__version__,
            },
            "default": timed(root / "default", options),
        }
        for split in SPLITS:
            result[split] = statistics(root / "default", split)
        sheet(root / "default", "test", HERE / "scenes.png")
        if arguments.poses:
            crowds = SyntheticOptions(train=1600, val=200, test=200, poses=str(arguments.poses))
            result["crowds"] = timed(root / "crowds", crowds)
            result["crowds"] |= compare(arguments.poses, root / "crowds")
            sheet(root / "crowds", "test", HERE / "crowds.png", rows=2)
    (HERE / "result.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
