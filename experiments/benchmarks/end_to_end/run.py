"""Images a second from JPEG bytes to people, and where the time goes.

    python experiments/benchmarks/end_to_end/run.py --threads 2

640x480 JPEGs of rendered scenes with four people each: decode, preprocess, run, group. The networks have
random weights, which are as fast as trained ones but see nobody; so the grouping gets, in place of the
network's maps, maps of the same size with Gaussians at the four people's joints and their tags, as a
trained network gives them. Everything else is the path of `subnets.predict` with onnxruntime. Writes
result.json beside itself.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from subnets.export.onnx_graph import export_onnx
from subnets.network import fuse
from subnets.portable.manifest import Manifest
from subnets.portable.predicting import pipeline
from subnets.portable.predictor import Predictor, PredictorOptions
from subnets.portable.session import OnnxSession
from subnets.source import Opened, open_source
from supernet.data.images.decode import decode_rgb
from supernet.data.synthetic.options import SyntheticOptions
from supernet.data.synthetic.scene import Scene, render_scene
from supernet.pose.preprocess import preprocess
from supernet.runs.environment import environment

HERE = Path(__file__).resolve().parent
SCENES = 8
WIDTH, HEIGHT = 640, 480
PEOPLE = 4
STEPS = ("decode", "prepare", "network", "group")
SIGMA = 2.0
TAG_STEP = 3.0


def main() -> None:
    """Measure every network, print and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="of onnxruntime")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--archs", nargs="+", default=["litepose-xs", "litepose-m"])
    options = parser.parse_args()
    scenes = four_people()
    results = []
    for name in options.archs:
        result = measure(name, scenes, options.threads, options.images)
        results.append(result)
        print(json.dumps(result), flush=True)
    record = {
        "environment": environment(options.threads),
        "image": f"{WIDTH}x{HEIGHT}",
        "people": PEOPLE,
        "networks": results,
    }
    (HERE / "result.json").write_text(json.dumps(record, indent=1) + "\n")


def four_people() -> list[Scene]:
    """Rendered scenes of the right size, four people in each."""
    aspect = WIDTH / HEIGHT
    weights = (*[0.0] * (PEOPLE - 1), 1.0)
    options = SyntheticOptions(size=round((WIDTH * HEIGHT) ** 0.5), aspect=(aspect, aspect), people=weights)
    found = []
    for child in np.random.SeedSequence(0).spawn(4 * SCENES):
        scene = render_scene(child, options)
        if len(scene.people) == PEOPLE and len(found) < SCENES:
            scaled = cv2.resize(scene.image, (WIDTH, HEIGHT))
            found.append(Scene(np.asarray(scaled, np.uint8), scene.people))
    return found


class SeeingSession:
    """The network's time with maps of people in them: runs the session, then gives the scene's own maps."""

    def __init__(self, session: OnnxSession, maps: list[list[np.ndarray]]) -> None:
        self._session = session
        self._maps = maps
        self._next = 0

    def __call__(self, images: Any) -> list[np.ndarray]:
        """The outputs for the next scene."""
        shapes = [output.shape for output in self._session(images)]
        maps = self._maps[self._next % len(self._maps)]
        self._next += 1
        assert shapes == [value.shape for value in maps]
        return maps


def maps_of(scene: Scene, opened: Opened) -> list[np.ndarray]:
    """The maps that a good network gives for `scene`: a Gaussian of the usual width per joint, a tag per
    person.
    """
    view = preprocess(scene.image, opened.arch.resolution)
    joints, (height, width) = opened.skeleton.num_joints, view.size
    rng = np.random.default_rng(0)
    half = rng.normal(0, 0.01, (1, joints, height // 2, width // 2)).astype(np.float32)
    quarter = rng.normal(0, 0.01, (1, 2 * joints, height // 4, width // 4)).astype(np.float32)
    keypoints = np.stack([np.asarray(person[0], float).reshape(-1, 3) for person in scene.people])
    for maps, stride in ((half[0], 2), (quarter[0], 4)):
        rows, columns = np.mgrid[: maps.shape[1], : maps.shape[2]] + 0.5
        for joint in range(joints):
            people = np.flatnonzero(keypoints[:, joint, 2] > 0)
            if not len(people):
                continue
            x, y = ((keypoints[people, joint, :2] * view.scale + view.offset) / stride).T[..., None, None]
            square = (columns - x) ** 2 + (rows - y) ** 2
            maps[joint] = np.maximum(maps[joint], np.exp(-square.min(axis=0) / (2 * SIGMA**2)))
            if stride == 4:
                # Every pixel carries the tag of the person whose joint is nearest.
                maps[joints + joint] += TAG_STEP * people[square.argmin(axis=0)]
    return [quarter, half]


def measure(name: str, scenes: list[Scene], threads: int, images: int) -> dict[str, Any]:
    """One network, one image after the other and in the pipeline."""
    opened = open_source(name)
    files = [
        cv2.imencode(".jpg", scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
        for scene in scenes
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        manifest = Manifest(name, opened.arch.resolution, opened.skeleton)
        export_onnx(fuse(opened.require_net()), path, manifest)
        maps = [maps_of(scene, opened) for scene in scenes]
        run = SeeingSession(OnnxSession(path, threads), maps)
        predictor = Predictor(run, opened.skeleton, PredictorOptions(opened.arch.resolution))
        sequential, people = one_by_one(predictor, files, images)
        pipelined = overlapped(predictor, files, images)
    total = sum(sequential.values())
    return {
        "network": name,
        "input": list(preprocess(scenes[0].image, opened.arch.resolution).size),
        "ms per step (median)": {step: round(value, 2) for step, value in sequential.items()},
        "images/s one by one": round(1000 / total, 1),
        "images/s pipelined": round(pipelined, 1),
        "people found per image": round(people, 2),
        "jpeg bytes": round(float(np.mean([len(data) for data in files]))),
    }


def one_by_one(predictor: Predictor, files: list[bytes], images: int) -> tuple[dict[str, float], float]:
    """Median milliseconds of every step, and people found per image."""
    taken: dict[str, list[float]] = {step: [] for step in STEPS}
    people = 0
    for index in range(-10, images):
        marks = [time.perf_counter()]
        image = decode_rgb(files[index % len(files)], "scene")
        marks.append(time.perf_counter())
        prepared = predictor.prepare(image)
        marks.append(time.perf_counter())
        outputs = predictor.network(prepared)
        marks.append(time.perf_counter())
        found = predictor.group(outputs)
        marks.append(time.perf_counter())
        if index >= 0:
            people += len(found)
            for step, (start, end) in zip(STEPS, pairwise(marks), strict=True):
                taken[step].append(1000 * (end - start))
    return {step: float(np.median(values)) for step, values in taken.items()}, people / images


def overlapped(predictor: Predictor, files: list[bytes], images: int) -> float:
    """Images a second with the steps in threads of their own, as `subnets.predict` runs them."""
    items = (files[index % len(files)] for index in range(images))
    steps = [lambda data: predictor.prepare(decode_rgb(data, "scene")), predictor.network, predictor.group]
    start = time.perf_counter()
    count = sum(1 for _ in pipeline(items, steps))
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
