"""A minute data set and space, so that a training step takes milliseconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from warm import Warm
from warm import environment as warm_environment

from supernet import SearchSpace
from supernet.data.options import LoaderOptions
from supernet.data.source import DataConfig
from supernet.pose.skeletons import Skeleton

STAGE = {"width": [4, 8], "depth": [1, 2], "kernel": [3, 5], "expansion": [2]}
SPACE = {
    "schema": 1,
    "name": "micro",
    "resolution": [32, 64],
    "stem": [4, 8],
    "stages": [STAGE] * 4,
    "head": [[4, 8], [4, 8], [4, 8]],
}
# Overrides that make the real command train it.
OVERRIDES = (
    "data=crowdpose",
    "data.workers=0",
    "threads=1",
    "train.steps=8",
    "train.batch_size=4",
    "train.log_every=2",
    "train.sampling.random=1",
    "train.sampling.largest_first=0",
    "train.checkpoint.every=3",
    "train.validation.every=0",
)


def write_split(root: Path, split: str, count: int, seed: int) -> None:
    """A CrowdPose split of `count` pictures with one or two random people each."""
    rng = np.random.default_rng(seed)
    joints = Skeleton.load("crowdpose").joints
    images, people = [], []
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / "json").mkdir(exist_ok=True)
    for key in range(1000 * seed, 1000 * seed + count):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        cv2.imwrite(str(root / "images" / f"{key}.jpg"), cv2.resize(coarse, (80, 64)))
        images.append({"id": key, "file_name": f"{key}.jpg", "width": 80, "height": 64, "crowdIndex": 0.1})
        for _ in range(int(rng.integers(1, 3))):
            points = np.clip(rng.normal((40, 32), (15, 12), (len(joints), 2)), 1, 62).round()
            low, high = points.min(0), points.max(0)
            people.append(
                {
                    "id": 1000 * seed + len(people),
                    "image_id": key,
                    "category_id": 1,
                    "iscrowd": 0,
                    "keypoints": np.column_stack([points, np.full(len(joints), 2)])
                    .astype(int)
                    .ravel()
                    .tolist(),
                    "num_keypoints": 12,
                    "bbox": [*map(float, low), *map(float, high - low)],
                }
            )
    category = {"id": 1, "name": "person", "keypoints": list(joints), "skeleton": []}
    document = {"images": images, "annotations": people, "categories": [category]}
    (root / "json" / f"crowdpose_{split}.json").write_text(json.dumps(document))


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/ (CrowdPose layout, three splits) and space.yaml."""
    folder = tmp_path_factory.mktemp("micro")
    for seed, (split, count) in enumerate({"train": 10, "val": 6, "test": 4}.items(), start=1):
        write_split(folder / "data", split, count, seed)
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return folder


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    """The minute space."""
    return SearchSpace.from_dict(SPACE)


@pytest.fixture(scope="session")
def data(micro: Path) -> DataConfig:
    """The minute data set."""
    return DataConfig(root=str(micro / "data"), workers=0)


@pytest.fixture(scope="session")
def command(micro: Path):
    """`command(*overrides, cwd=...)`: argument list of the real command on the minute data."""

    def build(*overrides: str, launcher: tuple[str, ...] = ("-m", "supernet.train")) -> list[str]:
        given = (f"data.root={micro / 'data'}", f"space={micro / 'space.yaml'}")
        return [sys.executable, *launcher, *OVERRIDES, *given, *overrides]

    return build


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What a child process needs to import the packages from a checkout, on one thread."""
    return warm_environment() | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def launch(warm: Warm, command, environment):
    """`launch(folder, *overrides)`: run the real command in `folder` and return the finished process."""

    def run(folder: Path, *overrides: str, **options) -> subprocess.CompletedProcess[str]:
        words = command(*overrides, **options)
        if words[1:3] == ["-m", "supernet.train"]:
            return warm.run(words[2], words[3:], folder, environment)
        return subprocess.run(
            words,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    return run


@pytest.fixture
def batches() -> LoaderOptions:
    """Four images a step."""
    return LoaderOptions(batch_size=4, seed=0)
