"""Renders chunks of a synthetic data set, here or in a process that reads them from its standard input."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files import read_json
from ..files import write_json
from .render_crowds import Crowd
from .render_crowds import load_crowds
from .render_crowds import render_crowd
from .render_labels import crowd_index
from .render_labels import person_annotation
from .render_options import SPLITS
from .render_options import SyntheticOptions
from .render_scene import Scene
from .render_scene import render_scene

CHUNK = 25
_FIRST_ID = 1_000_000  # image id = _FIRST_ID * (1 + split) + index: unique over the splits


@dataclass(frozen=True)
class Chunk:
    """Images `start` to `stop` - 1 of a split."""

    split: str
    start: int
    stop: int

    @property
    def part(self) -> str:
        """File name of the chunk's labels while the set is incomplete."""
        return f"{self.split}_{self.start:07d}.json"


def all_chunks(options: SyntheticOptions) -> list[Chunk]:
    """Every chunk of a data set, in order."""
    return [
        Chunk(split, start, min(start + CHUNK, options.count(split)))
        for split in SPLITS
        for start in range(0, options.count(split), CHUNK)
    ]


def image_id(split: str, index: int) -> int:
    """The id of a split's `index`-th image."""
    return _FIRST_ID * (1 + SPLITS.index(split)) + index


def options_from(data: dict[str, Any]) -> SyntheticOptions:
    """Options from their JSON form."""
    pairs: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return SyntheticOptions(**pairs)


def scene_at(options: SyntheticOptions, crowds: list[Crowd], split: str, index: int) -> Scene:
    """The `index`-th scene of a split; depends on nothing else."""
    seed = np.random.SeedSequence(options.seed, spawn_key=(SPLITS.index(split), index))
    if options.poses is None:
        return render_scene(seed, options)
    return render_crowd(seed, options, crowds, split, index)


def part_is_done(root: Path, chunk: Chunk) -> bool:
    """Whether a chunk's labels and all its images are there, whole."""
    part = root / "parts" / chunk.part
    if not part.is_file():
        return False
    sizes = read_json(part)["bytes"]
    return all(_size(root / "images" / name) == size for name, size in sizes.items())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def render_chunk(root: Path, options: SyntheticOptions, crowds: list[Crowd], chunk: Chunk) -> None:
    """Write a chunk's images, then its labels."""
    part: dict[str, Any] = {"images": [], "annotations": [], "bytes": {}}
    for index in range(chunk.start, chunk.stop):
        scene = scene_at(options, crowds, chunk.split, index)
        identity = image_id(chunk.split, index)
        name = f"{identity}.jpg"
        encoded = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, options.quality])[1].tobytes()
        target = root / "images" / name
        if _size(target) != len(encoded):
            temporary = target.with_name(f".{name}.{os.getpid()}")
            temporary.write_bytes(encoded)
            os.replace(temporary, target)
        people = [person_annotation(0, identity, k, box, crowd) for k, box, crowd in scene.people]
        height, width = scene.image.shape[:2]
        part["images"].append(
            {
                "file_name": name,
                "id": identity,
                "height": height,
                "width": width,
                "crowdIndex": crowd_index(people),
            }
        )
        part["annotations"] += people
        part["bytes"][name] = len(encoded)
    write_json(root / "parts" / chunk.part, part, indent=None)


def prepare(options: SyntheticOptions) -> list[Crowd]:
    """What every chunk needs: the real crowds, if poses come from a file."""
    return [] if options.poses is None else load_crowds(options.poses)


def main() -> None:
    """Serve a parent: one JSON line with root and options, then one line per chunk; ends with the input."""
    cv2.setNumThreads(1)
    setup = json.loads(sys.stdin.readline())
    root, options = Path(setup["root"]), options_from(setup["options"])
    crowds = prepare(options)
    for line in sys.stdin:
        chunk = Chunk(**json.loads(line))
        render_chunk(root, options, crowds, chunk)
        print(json.dumps(chunk.part), flush=True)


if __name__ == "__main__":
    main()
